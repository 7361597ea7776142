"""Executors in this process on real Postgres and Valkey, with a pipeline that a test scripts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace.executor.v1 import memories_pb2_grpc, pages_pb2_grpc, workflows_pb2_grpc
from headrace_executor import app, events
from headrace_executor.chat import Chats
from headrace_executor.durable import Durable, open_durable
from headrace_executor.memories import Embeddings
from headrace_executor.model import Outcome
from headrace_executor.ports import Journal
from headrace_executor.settings import Settings
from headrace_executor.usage import Budgets
from headrace_llm.usage import ModelUsage, Usage
from headrace_runtime import channels, errors, serve
from headrace_tools.ports import Toolbox

from tests.support.embeddings import FakeEmbeddings
from tests.support.models import ScriptedModels

PAID = Usage({"big": ModelUsage(llm_calls=1, prompt_tokens=10, completion_tokens=5, cost_usd=0.001)})
Act = Callable[[Journal], Awaitable[Outcome]]


@dataclass
class ScriptedPipeline:
    """Four steps; the last streams `tokens` pieces of text. `before` is awaited before each step that is not done."""

    steps: tuple[str, ...] = ("route", "plan", "node:a", "node:b")
    tokens: int = 20
    before: Callable[[Journal, str], Awaitable[None]] | None = None
    in_stream: Callable[[Journal, int], Awaitable[None]] | None = None
    executed: list[tuple[str, str]] = field(default_factory=list)
    """(run id, step) of each step that was worked on to its end."""
    started: list[str] = field(default_factory=list)

    async def run(self, journal: Journal) -> Outcome:
        self.started.append(journal.run.run_id)
        for step in self.steps:
            if step in journal.steps:
                continue
            journal.emit(events.step_started(step))
            if self.before is not None:
                await self.before(journal, step)
            if step == self.steps[-1]:
                await self._compose(journal, step)
            self.executed.append((journal.run.run_id, step))
            await journal.checkpoint(step, {"of": step}, usage=PAID, events=[events.step_finished(step)])
        return Outcome({"reply": "done"}, reply="done")

    async def _compose(self, journal: Journal, step: str) -> None:
        run = journal.run
        message = f"{run.run_id}:{step.removeprefix('node:')}"
        message += f":{run.attempt}" if run.attempt > 1 else ""
        journal.emit(events.text_start(message))
        for n in range(self.tokens):
            if self.in_stream is not None:
                await self.in_stream(journal, n)
            journal.delta(message, f"t{n} ")
            await journal.drained()
        journal.emit(events.text_end(message))


@dataclass
class Executor:
    """One served executor and stubs to it."""

    durable: Durable
    runs: "pb_grpc.ExecutorServiceAsyncStub"
    sessions: "pb_grpc.SessionServiceAsyncStub"
    catalog: "pb_grpc.CatalogServiceAsyncStub"
    usage: "pb_grpc.UsageServiceAsyncStub"
    workflows: "workflows_pb2_grpc.WorkflowServiceAsyncStub"
    pages: "pages_pb2_grpc.PageServiceAsyncStub"
    memories: "memories_pb2_grpc.MemoryServiceAsyncStub"
    target: str
    """Where it answers gRPC."""
    stop: Callable[[], Awaitable[None]]
    """Ends it as kill -9 does: nothing more is written, nothing is given back."""

    async def submit(self, *, tenant: str = "t", message: str = "hi", **fields: Any) -> pb.Run:
        body = fields.pop("body", None) or orjson.dumps({"message": message})
        request = pb.SubmitRunRequest(
            tenant_id=tenant, kind=fields.pop("kind", pb.RUN_KIND_CONVERSATION), body=body, **fields
        )
        answer: pb.SubmitRunResponse = await channels.unary(self.runs.SubmitRun, request, timeout_s=20)
        return answer.run

    async def get(self, run_id: str, *, tenant: str = "t", wait_s: int = 0) -> pb.Run:
        request = pb.GetRunRequest(tenant_id=tenant, run_id=run_id, wait_s=wait_s)
        answer: pb.GetRunResponse = await channels.unary(self.runs.GetRun, request, timeout_s=wait_s + 20)
        return answer.run

    async def watch(
        self, run_id: str, *, after: int = 0, tenant: str = "t"
    ) -> AsyncGenerator[tuple[int, dict[str, Any]], None]:
        request = pb.WatchRunRequest(tenant_id=tenant, run_id=run_id, after=after)
        async for answer in channels.stream(self.runs.WatchRun, request, timeout_s=60):
            for event in answer.events:
                yield event.seq, orjson.loads(event.data)

    async def log(self, run_id: str, *, after: int = 0, tenant: str = "t") -> list[dict[str, Any]]:
        """Watch to the end; the numbers must follow each other."""
        seen: list[dict[str, Any]] = []
        async for seq, event in self.watch(run_id, after=after, tenant=tenant):
            assert seq == after + len(seen) + 1
            seen.append(event)
        return seen

    async def cancel(self, run_id: str, *, tenant: str = "t") -> pb.Run:
        request = pb.CancelRunRequest(tenant_id=tenant, run_id=run_id)
        answer: pb.CancelRunResponse = await channels.unary(self.runs.CancelRun, request, timeout_s=20)
        return answer.run


def settings(postgres_url: str, redis_url: str = "", **fields: Any) -> Settings:
    """Settings of a test's executor."""
    values: dict[str, Any] = {"database_url": postgres_url, "redis_url": redis_url, "notice_s": 0.2, **fields}
    return Settings(**values)


@asynccontextmanager
async def executor(
    config: Settings,
    pipeline: Any,
    models: Any = None,
    budgets: Budgets | None = None,
    toolbox: Toolbox | None = None,
    embeddings: Embeddings | None = None,
) -> AsyncIterator[Executor]:
    """A served executor, ended without ceremony at the end of the block. `pipeline` may be made of the stores."""
    async with AsyncExitStack() as stack:
        owned = await stack.enter_async_context(AsyncExitStack())
        models = models or ScriptedModels()
        durable = await owned.enter_async_context(
            open_durable(
                config,
                pipeline=lambda stores: pipeline(stores) if callable(pipeline) else pipeline,
                models=models,
                embeddings=embeddings or FakeEmbeddings(),
                budgets=budgets,
                toolbox=toolbox,
            )
        )
        owned.callback(_assert_alive, durable)
        chats = Chats(models, durable.chat_usage, limit=config.max_chats, text_delay_s=config.token_delay_s)
        service = serve.Service(endpoints=app.endpoints(config, durable, models, chats, budgets))
        server, _, port = await serve.start(service, "127.0.0.1:0")
        owned.push_async_callback(server.stop, 0)
        target = f"127.0.0.1:{port}"
        channel = channels.open_channel(target)
        stack.push_async_callback(channel.close)

        async def stop() -> None:
            await owned.aclose()

        yield Executor(
            durable,
            pb_grpc.ExecutorServiceStub(channel),
            pb_grpc.SessionServiceStub(channel),
            pb_grpc.CatalogServiceStub(channel),
            pb_grpc.UsageServiceStub(channel),
            workflows_pb2_grpc.WorkflowServiceStub(channel),
            pages_pb2_grpc.PageServiceStub(channel),
            memories_pb2_grpc.MemoryServiceStub(channel),
            target,
            stop,
        )


def _assert_alive(durable: Durable) -> None:
    """No background loop may have ended."""
    if durable.failed.done():
        durable.failed.result()


async def eventually(condition: Callable[[], Awaitable[bool] | bool], *, within_s: float = 10.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within_s):
        while True:
            value = condition()
            if await value if isinstance(value, Awaitable) else value:
                return
            await asyncio.sleep(0.01)


async def refused(awaitable: Awaitable[Any]) -> errors.ServiceError:
    """The error that a call is refused with."""
    try:
        value = await awaitable
    except errors.ServiceError as error:
        return error
    raise AssertionError(f"not refused: {value!r}")
