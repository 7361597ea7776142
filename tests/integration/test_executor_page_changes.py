"""Changes of one page by runs of the same moment, from their requests to the store, on a real Postgres."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import pages_pb2
from headrace_executor.durable import Stores
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.model import ClaimedRun
from headrace_executor.ports import Patched
from headrace_llm.usage import Usage
from headrace_runtime import channels

from tests.support.executor_durable import Executor, executor, refused, settings
from tests.support.executor_fakes import (
    FakeCel,
    FakeModels,
    FakePlanner,
    FakeRag,
    FakeRouter,
    FakeSessions,
)

Json = Any
SLOTS = [f"s{number}" for number in range(6)]
BLUEPRINT: Json = {
    "version": 1,
    "name": "report",
    "nodes": [{"id": name, "kind": "compose", "prompt": f"write {name}"} for name in SLOTS],
    "layout": [{"slot": name, "title": name.upper(), "node": name} for name in SLOTS],
    "output": "${nodes.s0.output}",
}


class Planner(FakePlanner):
    """Writes the slots that a sentence names. Its answer waits until so many runs have asked, all of one version."""

    def __init__(self) -> None:
        super().__init__(BLUEPRINT)
        self.together = asyncio.Barrier(1)

    async def patch(self, run: ClaimedRun, **asked: Any) -> Patched:
        blueprint, instruction = asked["blueprint"], asked["instruction"]
        async with self.together:
            named = [slot["slot"] for slot in blueprint["layout"] if slot["slot"] in instruction.split()]
        nodes = [
            {**node, "prompt": f"{node['prompt']} {instruction}"} if node["id"] in named else node
            for node in blueprint["nodes"]
        ]
        return Patched({**blueprint, "nodes": nodes}, asked["inputs"], tuple(named), (), "model", (), Usage())


class World:
    """An executor with the real engine and store."""

    def __init__(self, served: Executor, planner: Planner) -> None:
        self.served = served
        self.planner = planner

    async def page(self) -> str:
        run = await self.served.submit(kind=pb.RUN_KIND_PAGE, body=orjson.dumps({"blueprint": BLUEPRINT}))
        done = await self.served.get(run.run_id, wait_s=30)
        return str(orjson.loads(done.output)["page"]["page_id"])

    async def submit(self, page_id: str, instruction: str, **body: Json) -> str:
        named = {"page_id": page_id} if page_id else {}
        data = orjson.dumps({**named, "instruction": instruction, **body})
        return (await self.served.submit(kind=pb.RUN_KIND_PATCH, body=data)).run_id

    async def ends(self, run_ids: Sequence[str]) -> list[pb.Run]:
        return await asyncio.gather(*(self.served.get(run_id, wait_s=30) for run_id in run_ids))

    async def values(self, page_id: str, version: int = 0) -> dict[str, Json]:
        request = pages_pb2.GetPageRequest(tenant_id="t", page_id=page_id, version=version)
        answer = await channels.unary(self.served.pages.GetPage, request, timeout_s=20)
        return {slot["slot"]: slot["value"] for slot in orjson.loads(answer.page.slots)}

    async def restore(self, page_id: str, **fields: int) -> pages_pb2.Page:
        request = pages_pb2.RestorePageRequest(tenant_id="t", page_id=page_id, **fields)
        answer = await channels.unary(self.served.pages.RestorePage, request, timeout_s=20)
        page: pages_pb2.Page = answer.page
        return page

    async def versions(self, page_id: str) -> list[pages_pb2.Page]:
        request = pages_pb2.ListPageVersionsRequest(tenant_id="t", page_id=page_id)
        answer = await channels.unary(self.served.pages.ListPageVersions, request, timeout_s=20)
        return list(answer.versions)


@pytest.fixture
async def world(postgres_url: str) -> AsyncIterator[World]:
    planner = Planner()

    def pipeline(stores: Stores) -> RunPipeline:
        return RunPipeline(
            router=FakeRouter("patch"),
            planner=planner,
            rag=FakeRag(),
            models=FakeModels(),
            sessions=FakeSessions(),
            cel=FakeCel(),
            pages=stores.pages,
        )

    async with executor(settings(postgres_url), pipeline) as served:
        yield World(served, planner)


def changed(before: Json, after: Json) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


async def test_six_changes_of_one_version_are_all_on_the_page(world: World) -> None:
    page_id = await world.page()
    before = await world.values(page_id)
    world.planner.together = asyncio.Barrier(len(SLOTS))
    runs = [await world.submit(page_id, f"shorten {name}") for name in SLOTS]
    assert {run.state for run in await world.ends(runs)} == {pb.RUN_STATE_SUCCEEDED}
    after = await world.values(page_id)
    assert changed(before, after) == set(SLOTS)
    history = await world.versions(page_id)
    assert [(one.version, one.parent_version) for one in history] == [(n, n - 1) for n in range(1, 8)]
    seen = [await world.values(page_id, version) for version in range(1, 8)]
    assert [len(changed(*pair)) for pair in itertools.pairwise(seen)] == [1] * 6, "each adds its own, and no more"
    for run in runs:
        done = orjson.loads((await world.served.get(run)).output)["page"]
        assert {slot["slot"]: slot["value"] for slot in done["slots"]} == seen[done["version"] - 1]


async def test_of_two_that_write_one_slot_one_is_kept_and_the_other_says_what_to_do(world: World) -> None:
    page_id = await world.page()
    world.planner.together = asyncio.Barrier(2)
    runs = [await world.submit(page_id, f"{how} s0 and s{number}") for number, how in enumerate(("shorten", "lengthen"), 1)]
    ended = await world.ends(runs)
    failed = [run for run in ended if run.state == pb.RUN_STATE_FAILED]
    assert [run.error.code for run in failed] == ["conflict"]
    assert "the slot 'S0'" in failed[0].error.message
    assert len(await world.versions(page_id)) == 2
    world.planner.together = asyncio.Barrier(1)
    (again,) = await world.ends([await world.submit(page_id, "lengthen s0 and s2")])
    assert again.state == pb.RUN_STATE_SUCCEEDED


async def test_an_undo_while_a_change_runs_is_kept_beside_it(world: World) -> None:
    page_id = await world.page()
    first = await world.values(page_id)
    await world.ends([await world.submit(page_id, "shorten s1")])
    world.planner.together = asyncio.Barrier(2)
    run = await world.submit(page_id, "shorten s0")
    while not world.planner.together.n_waiting:
        await asyncio.sleep(0.01)
    assert (await world.restore(page_id)).version == 1
    async with world.planner.together:
        pass
    await world.ends([run])
    after = await world.values(page_id)
    assert changed(first, after) == {"s0"}, "the undone change of s1 stays undone"
    assert [(one.version, one.parent_version) for one in await world.versions(page_id)] == [(1, 0), (2, 1), (3, 1)]
    assert changed(first, await world.values(page_id, (await world.restore(page_id)).version)) == set()


async def test_undos_and_changes_of_one_moment_leave_a_page_that_one_order_of_them_makes(world: World) -> None:
    page_id = await world.page()
    first = await world.values(page_id)
    world.planner.together = asyncio.Barrier(3)
    runs = [await world.submit(page_id, f"shorten {name}") for name in SLOTS[:3]]
    undone = await asyncio.gather(*(world.restore(page_id, version=1) for _ in range(4)))
    assert {run.state for run in await world.ends(runs)} == {pb.RUN_STATE_SUCCEEDED}
    assert {page.version for page in undone} <= {1, 2, 3, 4}
    history = await world.versions(page_id)
    (current,) = [one.version for one in history if one.current]
    by_version = {one.version: await world.values(page_id, one.version) for one in history}
    for one in history[1:]:
        assert len(changed(by_version[one.parent_version], by_version[one.version])) == 1
    assert changed(first, by_version[current]) <= set(SLOTS[:3])


async def test_a_version_that_is_not_current_is_refused_before_anything_runs(world: World) -> None:
    page_id = await world.page()
    await world.ends([await world.submit(page_id, "shorten s1", version=1)])
    late = await refused(world.submit(page_id, "shorten s0", version=1))
    assert (type(late).__name__, late.reason) == ("Aborted", "PAGE_CHANGED")
    assert "current version is 2, not 1" in late.message
    wrong = await refused(world.submit("", "shorten s0", page={"blueprint": BLUEPRINT, "slots": []}, version=1))
    assert type(wrong).__name__ == "InvalidArgument"
