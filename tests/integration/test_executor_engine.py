"""The blueprint engine on the real store: a map whose owner dies, a page, and one sentence that changes it."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor.durable import Stores
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.ports import Patched
from headrace_llm.client import Completion

from tests.support import agui
from tests.support.executor_durable import eventually, executor, settings
from tests.support.executor_fakes import PAID, FakeCel, FakeModels, FakePlanner, FakeRag, FakeRouter, answer
from tests.unit.headrace_executor.engine.world import blueprint

ITEMS = 30
BEFORE = 12
"""Items that are answered before the owner dies."""
EACH = {"id": "one", "kind": "compose", "prompt": "say ${item}"}
MAPPED = blueprint(
    {"id": "all", "kind": "map", "over": "${inputs.xs}", "concurrency": 4, "node": EACH},
    {"id": "sum", "kind": "compute", "expr": "size(nodes.all.output)"},
    output="sum",
    slots=["all", "sum"],
)


class Halting(FakeModels):
    """Answers as many calls as it may, and lets the others wait."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    async def stream(self, request: Any) -> Any:
        self.requests.append(request)
        if len(self.requests) > self.most:
            await asyncio.Event().wait()
        request.on_cost(PAID)
        text = answer(request.messages[0].content)
        yield text
        yield Completion(text, "fake", PAID)


def over(models: FakeModels, planner: FakePlanner | None = None) -> Callable[[Stores], RunPipeline]:
    """A pipeline over the real stores."""
    return lambda stores: RunPipeline(
        router=FakeRouter(),
        planner=planner or FakePlanner({}),
        rag=FakeRag(),
        models=models,
        sessions=stores.sessions,
        cel=FakeCel(),
        workflows=stores.workflows,
        pages=stores.pages,
    )


async def test_only_the_unfinished_items_of_a_map_run_again_when_its_owner_dies(postgres_url: str, redis_url: str) -> None:
    first, second = Halting(BEFORE), FakeModels()
    body = orjson.dumps({"blueprint": MAPPED, "inputs": {"xs": list(range(ITEMS))}})
    async with executor(settings(postgres_url, redis_url), over(first)) as dying:
        run = await dying.submit(kind=pb.RUN_KIND_PAGE, body=body)
        done: list[str] = []
        async for _, event in dying.watch(run.run_id):
            done += [event["stepName"]] if event["type"] == "STEP_FINISHED" else []
            if len(done) == BEFORE:
                break
        async with executor(settings(postgres_url, redis_url), over(second)) as other:
            await dying.stop()
            await eventually(lambda: bool(second.requests), within_s=10)
            log = await other.log(run.run_id)
            ended = await other.get(run.run_id)
            step = pb.GetOutputRequest(tenant_id="t", run_id=run.run_id, step="node:all[29]")
            whole = b"".join([piece.data async for piece in other.runs.GetOutput(step)])
    agui.check(log)
    assert ended.state == pb.RUN_STATE_SUCCEEDED
    assert {f"node:{name}" for name in ("all[0]", "all[11]")} <= set(done)
    assert second.prompts() == {f"say {n}": 1 for n in range(BEFORE, ITEMS)}
    assert ended.usage.llm_calls == ITEMS
    output = orjson.loads(ended.output)
    assert output["page"]["slots"][0]["value"] == [answer(f"say {n}") for n in range(ITEMS)]
    assert output["page"]["version"] == 1
    assert orjson.loads(whole) == answer("say 29")


async def test_a_page_of_the_store_is_changed_by_one_call(postgres_url: str) -> None:
    names = [f"s{number}" for number in range(11)]
    nodes = [{"id": name, "kind": "compose", "prompt": f"write {name}"} for name in names]
    summary = {"id": "summary", "kind": "compose", "prompt": "sum up ${nodes.s0.output}"}
    document = blueprint(*nodes, summary, output="summary", slots=[*names, "summary"])
    models, planner = FakeModels(), FakePlanner({})
    planner.patched = Patched(document, {}, ("summary",), ("summary",), "model", (), PAID)
    async with executor(settings(postgres_url), over(models, planner)) as one:
        made = await one.submit(kind=pb.RUN_KIND_PAGE, body=orjson.dumps({"blueprint": document}))
        before = orjson.loads((await one.get(made.run_id, wait_s=20)).output)["page"]
        body = {"page_id": before["page_id"], "instruction": "make the summary shorter"}
        changing = await one.submit(kind=pb.RUN_KIND_PATCH, body=orjson.dumps(body))
        changed = await one.get(changing.run_id, wait_s=20)
        agui.check(await one.log(changing.run_id))
    after = orjson.loads(changed.output)["page"]
    assert len(models.requests) == 13
    assert changed.usage.llm_calls == 2, "the planner's and one compose node's"
    assert (after["page_id"], after["version"]) == (before["page_id"], 2)
    differing = [new["slot"] for old, new in zip(before["slots"], after["slots"], strict=True) if old != new]
    assert differing == ["summary"]
