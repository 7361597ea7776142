"""Who stops a run stops everything below it at once: calls, streams, waits for a place, pauses, items, nodes of flows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from headrace_executor import events
from headrace_executor.engine.limits import Limits
from headrace_executor.errors import RunFailed
from headrace_llm.client import ChatRequest, Completion
from headrace_tools.errors import ToolFailed
from prometheus_client import REGISTRY

from tests.support import agui
from tests.support.engine_runs import PageRun
from tests.support.executor_fakes import FakeRag, FakeWorkflows
from tests.support.toolbox import FakeToolbox, tool

Json = Any

ITEMS = ["a", "b", "c", "d", "e"]
FLOW = {
    "version": 1,
    "name": "inside",
    "inputs": {"properties": {"items": {"type": "array"}}},
    "nodes": [
        {"id": "say", "kind": "compose", "prompt": "inside"},
        {
            "id": "each",
            "kind": "map",
            "over": "${inputs.items}",
            "concurrency": 5,
            "node": {"id": "one", "kind": "data", "tool": "school.slow"},
        },
    ],
    "output": "${nodes.say.output}",
}
BLUEPRINT = {
    "version": 1,
    "name": "everything hangs",
    "inputs": {"properties": {"items": {"type": "array"}}},
    "nodes": [
        {
            "id": "texts",
            "kind": "map",
            "over": "${inputs.items}",
            "concurrency": 3,
            "node": {"id": "text", "kind": "compose", "prompt": "${item}", "on_error": "continue"},
        },
        {
            "id": "calls",
            "kind": "map",
            "over": "${inputs.items}",
            "concurrency": 3,
            "on_error": "continue",
            "node": {"id": "call", "kind": "data", "tool": "school.slow", "on_error": "continue", "retry": {"attempts": 3}},
        },
        {"id": "json", "kind": "compose", "prompt": "json", "schema": {"type": "object"}},
        {"id": "found", "kind": "retrieve", "query": "mills"},
        {"id": "loop", "kind": "compute", "expr": "[1].map(n, n)"},
        {"id": "again", "kind": "data", "tool": "school.away", "retry": {"attempts": 3}, "on_error": "continue"},
        {"id": "last", "kind": "data", "tool": "school.broken"},
        {"id": "inside", "kind": "flow", "workflow_id": "inside", "inputs": {"items": "${inputs.items}"}},
        {"id": "after", "kind": "compute", "expr": "1", "needs": ["inside", "texts"]},
    ],
    "layout": [{"slot": "texts", "title": "Texts", "node": "texts"}],
    "output": "${nodes.after.output}",
}
OPEN = {"text": 3 + 1, "json": 1, "tool": 3 + 2, "search": 1, "loop": 1, "pause": 1, "broken": 1}
"""What hangs when all places are taken: the flow's last three items wait for one."""
PLACES = sum(OPEN.values()) - OPEN["pause"]
TURNS = 100
"""Of the event loop: what ends within them waited for nothing."""


class Hanging:
    """Everything that a run waits for, for ever."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.breaks = asyncio.Event()

    @contextmanager
    def held(self, kind: str) -> Iterator[None]:
        self.open[kind] += 1
        try:
            yield
        finally:
            self.open[kind] -= 1

    async def for_ever(self, kind: str) -> Any:
        with self.held(kind):
            await asyncio.Event().wait()

    async def broken(self) -> Exception:
        with self.held("broken"):
            await self.breaks.wait()
        return ToolFailed("it is broken", reason="failed")

    async def complete(self, request: ChatRequest) -> Completion:
        await self.for_ever("json")
        raise AssertionError

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        with self.held("text"):
            yield "a piece"
            await asyncio.Event().wait()

    async def evaluate(self, expression: str, scope: Mapping[str, Json]) -> Json:
        return await self.for_ever("loop")

    async def sleep(self, _: float) -> None:
        await self.for_ever("pause")

    async def search(self, run: Any, **asked: Any) -> Any:
        return await self.for_ever("search")

    def run(self) -> PageRun:
        """A run that waits for all of it."""
        rag = FakeRag()
        rag.search = self.search  # type: ignore[method-assign]
        does = {
            "school.slow": lambda _: self.for_ever("tool"),
            "school.away": lambda _: ToolFailed("it is away", reason="away"),
            "school.broken": lambda _: self.broken(),
        }
        return PageRun(
            BLUEPRINT,
            {"items": ITEMS},
            models=self,
            rag=rag,
            cel=self,
            toolbox=FakeToolbox([tool(name) for name in does], does),
            workflows=FakeWorkflows({"inside": FLOW}),
            limits=Limits(max_parallel_nodes=PLACES),
            sleep=self.sleep,
        )


def places() -> float:
    """How many are taken, of all runs."""
    return REGISTRY.get_sample_value("headrace_executor_parallel_nodes") or 0.0


async def hung(hanging: Hanging, run: PageRun) -> "asyncio.Task[Any]":
    """The task of a run that has come as far as it can."""
    task = asyncio.create_task(run.start())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert hanging.open == OPEN
    return task


async def gone(hanging: Hanging, task: "asyncio.Task[Any]", before: float) -> None:
    """Assert that a run and all below it end without waiting for anything."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert task.done()
    assert +hanging.open == Counter(), "something still waits"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert places() == before


async def test_a_cancelled_run_leaves_nothing_behind() -> None:
    hanging, before = Hanging(), places()
    run = hanging.run()
    task = await hung(hanging, run)
    assert places() == before + PLACES
    recorded = set(run.journal.steps)
    task.cancel()
    await gone(hanging, task, before)
    assert task.cancelled()
    assert set(run.journal.steps) == recorded, "a cancelled node is neither done nor a gap"
    agui.check(run.journal.finish(events.run_finished("s1", "r1", result=None, usage=[], outcome="cancelled")))


async def test_the_first_node_that_fails_for_good_stops_the_others_in_the_same_way() -> None:
    hanging, before = Hanging(), places()
    run = hanging.run()
    task = await hung(hanging, run)
    recorded = set(run.journal.steps)
    hanging.breaks.set()
    await gone(hanging, task, before)
    with pytest.raises(RunFailed, match=r"last.*it is broken"):
        await task
    assert set(run.journal.steps) == recorded
    agui.check(run.journal.finish(events.run_error("tool", "it is broken")))


async def test_the_stream_of_an_answer_that_waits_for_the_log_is_closed() -> None:
    hanging, before = Hanging(), places()
    nodes = [{"id": "text", "kind": "compose", "prompt": "x"}]
    run = PageRun({"version": 1, "name": "slow log", "nodes": nodes, "output": "${nodes.text.output}"}, {}, models=hanging)
    streams: list[Any] = []
    stream = hanging.stream

    def kept(request: ChatRequest) -> AsyncIterator[str | Completion]:
        streams.append(stream(request))  # or the collector closes it
        return streams[0]

    hanging.stream = kept  # type: ignore[method-assign]
    run.journal.drained = lambda: hanging.for_ever("log")  # type: ignore[method-assign]
    task = asyncio.create_task(run.start())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert hanging.open == {"text": 1, "log": 1}
    task.cancel()
    await gone(hanging, task, before)
