"""The same question to real processes' code: `python -m tests.bench.admission_live`, about two minutes.

A real edge and executor on a real Postgres and Valkey, the model library's gate, and a provider that answers at once.
"""

import asyncio
import logging
import random
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import structlog
from headrace_cli.embedded import postgres, program, valkey
from headrace_edge import server
from headrace_edge.settings import Settings as EdgeSettings
from headrace_executor import app as executor_app
from headrace_executor import events
from headrace_executor.model import Outcome
from headrace_executor.ports import Journal
from headrace_executor.settings import Settings as ExecutorSettings
from headrace_llm import app as llm_app
from headrace_llm.client import ChatRequest, Message, ModelClient, Priority
from headrace_llm.registry import Limits, ModelEntry, Registry
from headrace_llm.settings import LlmSettings
from headrace_runtime import serve
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from tests.support.openai_server import OpenAiServer, openai_server

RPM, FACTOR, OVERLOAD_S, AFTER_S = 600, 10, 30.0, 60.0
PATIENCE_S = 5.0
CALLS = (1, 2, 3)
SEED = 7

LEARN_S = 30.0
"""How long the first runs may take."""


class Calling:
    """A pipeline whose runs ask the model one to three times, as their message says."""

    def __init__(self, models: ModelClient) -> None:
        self._models = models

    async def run(self, journal: Journal) -> Outcome:
        run = journal.run
        for number in range(int(str(run.body["message"]).split()[0])):
            step = f"node:{number}"
            if step in journal.steps:
                continue
            journal.emit(events.step_started(step))
            request = ChatRequest(
                (Message("user", str(run.body["message"])),),
                run.tenant_id,
                600.0,
                priority=Priority(run.priority),
                run_id=run.run_id,
                started_at=run.created_at.timestamp(),
                cache=False,  # all calls of a run ask the same: answered from the cache they would cost no quota
            )
            done = await self._models.complete(request)
            await journal.checkpoint(step, done.text, usage=done.usage, events=[events.step_finished(step)])
        return Outcome({"reply": "done"}, reply="done")


@dataclass
class Books:
    """What the clients saw."""

    accepted: int = 0
    promised: int = 0
    overflow: int = 0
    other: int = 0
    returned: int = 0
    kept: int = 0


class Clients:
    """Everybody who asks, once and again when told."""

    def __init__(self, http: httpx.AsyncClient, books: Books) -> None:
        self._http = http
        self._books = books
        self._random = random.Random(SEED)

    async def offer(self) -> list["asyncio.Task[None]"]:
        """Send first requests for `OVERLOAD_S`."""
        runs_per_s = RPM / 60 / 2 * FACTOR
        tasks: list[asyncio.Task[None]] = []
        until = time.monotonic() + OVERLOAD_S
        while time.monotonic() < until:
            message = f"{self._random.choice(CALLS)} calls for {len(tasks)}"
            tasks.append(asyncio.create_task(self._client(message)))
            await asyncio.sleep(self._random.expovariate(runs_per_s))
        return tasks

    async def _client(self, message: str) -> None:
        answer = await self._ask(message)
        if answer.status_code == 202:
            self._books.accepted += 1
        elif answer.status_code == 429:
            self._books.promised += 1
            if self._random.random() < 0.2:
                return
            await asyncio.sleep(int(answer.headers["retry-after"]) + self._random.uniform(0, 2))
            again = await self._ask(message)
            self._books.returned += 1
            self._books.kept += again.status_code == 202
        elif answer.status_code == 503:
            self._books.overflow += 1
        else:
            self._books.other += 1

    async def _ask(self, message: str) -> httpx.Response:
        body = {"kind": "conversation", "message": message, "priority": "interactive"}
        return await self._http.post("/api/tasks", json=body)


async def _measure(http: httpx.AsyncClient, provider: OpenAiServer) -> None:
    books = Books()
    clients = Clients(http, books)
    for _ in range(3):  # so that the kind is known
        await http.post("/api/tasks", json={"kind": "conversation", "message": "2 calls to learn from"})
    async with asyncio.timeout(LEARN_S):
        while not (await http.get("/api/quota")).json()["kinds"]:
            await asyncio.sleep(0.1)
    began = len(provider.requests)
    tasks = await clients.offer()
    used = (len(provider.requests) - began) / (RPM / 60 * OVERLOAD_S)
    quota = (await http.get("/api/quota")).json()
    await asyncio.sleep(AFTER_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    title = f"{RPM} rpm, {FACTOR} × too much for {OVERLOAD_S:.0f} s, patience {PATIENCE_S:.0f} s"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_row("first requests taken on", f"{books.accepted}")
    table.add_row("told a time, told none, other answers", f"{books.promised}, {books.overflow}, {books.other}")
    table.add_row(f"came back as told within {OVERLOAD_S + AFTER_S:.0f} s", f"{books.returned}")
    table.add_row("of those served", f"{100 * books.kept / max(1, books.returned):.1f} %")
    table.add_row("quota used while overloaded", f"{100 * used:.1f} %")
    table.add_row("learned calls of a run", f"{quota['kinds']['conversation']['calls_per_run']:.2f}")
    Console().print(table)


async def _run(home: Path, database_url: str, redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(openai_server())
        entry = ModelEntry(id="paced", model="openai/paced", api_base=provider.base_url, limits=Limits(rpm=RPM))
        llm = LlmSettings(models_file=home / "unused", redis_url=SecretStr(redis_url))
        models = await stack.enter_async_context(llm_app.model_client(llm, Registry.of([entry])))
        config = ExecutorSettings.model_validate({"database_url": database_url, "redis_url": redis_url, "slots": 64})
        service = await stack.enter_async_context(executor_app.service(config, models=models, pipeline=Calling(models)))
        grpc_server, _, port = await serve.start(service, "127.0.0.1:0")
        stack.push_async_callback(grpc_server.stop, 0)
        edge = EdgeSettings.model_validate(
            {
                "listen": "127.0.0.1:0",
                "executor_target": f"127.0.0.1:{port}",
                "admission_patience_interactive_s": PATIENCE_S,
                "drain_s": 1,
            }
        )
        sock = server.bind(edge.listen)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        await stack.enter_async_context(server.serving(edge, sock))
        limits = httpx.Limits(max_connections=200)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, limits=limits, timeout=30, trust_env=False))
        await _measure(http, provider)


async def _database(admin_url: str) -> str:
    admin = await asyncpg.connect(admin_url)
    await admin.execute("CREATE DATABASE admission")
    await admin.close()
    return f"{admin_url.rpartition('/')[0]}/admission"


def main() -> None:
    """Start the servers and measure."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        ports = program.free_port(), program.free_port()
        with (
            program.running(postgres.prepare(home / "pg", ports[0], home / "pg.password"), home / "pg.log"),
            program.running(valkey.prepare(home / "valkey", ports[1], home / "valkey.password"), home / "valkey.log"),
        ):
            database_url = asyncio.run(_database(postgres.url(ports[0], home / "pg.password")))
            asyncio.run(_run(home, database_url, valkey.url(ports[1], home / "valkey.password")))


if __name__ == "__main__":
    main()
