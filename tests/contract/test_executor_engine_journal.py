"""The pipeline on the real journal: what its flusher would store is a legal run, also when it is taken over."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from headrace_executor import events
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.errors import LeaseLost
from headrace_executor.model import StepRecord
from headrace_executor.runs.journal import BufferLimits, RunJournal
from headrace_executor.runs.openings import Openings
from headrace_llm.client import ChatRequest, ToolCall
from headrace_llm.usage import Usage

from tests.support import agui
from tests.support.executor_fakes import (
    FakeCel,
    FakeModels,
    FakePlanner,
    FakeRag,
    FakeRouter,
    FakeSessions,
    answer,
    claimed,
    no_sleep,
)
from tests.support.models import Scripted, ScriptedModels

BLUEPRINT = {
    "version": 1,
    "name": "two",
    "nodes": [
        {"id": "found", "kind": "data", "tool": "search", "args": {"query": "mills"}},
        {"id": "text", "kind": "compose", "prompt": "${nodes.found.output.text}"},
        {"id": "last", "kind": "compose", "prompt": "after ${nodes.text.output}"},
    ],
    "layout": [{"slot": "s", "title": "S", "node": "text"}],
    "output": "${nodes.last.output}",
}


class Store:
    """Stores what journals mark, at the loop's next turn, until it holds `until` steps."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.steps: dict[str, StepRecord] = {}
        self.until = 10**6
        self._due = False

    def mark(self, journal: RunJournal, urgent: bool) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._flush, journal)

    def _flush(self, journal: RunJournal) -> None:
        self._due = False
        write = journal.take()
        if write is None:
            return
        if len(self.steps) >= self.until:
            journal.lose()
            return
        self.events += [orjson.loads(data) for data in write.chunk.events]
        for step in write.steps:
            self.steps[step.name] = StepRecord(orjson.loads(step.output), Usage.from_json(orjson.loads(step.usage)))
        journal.stored(write)

    def own(self, attempt: int) -> RunJournal:
        openings = Openings()
        for event in self.events:
            openings.see(event)
        journal = RunJournal(
            claimed({"message": "mills"}, attempt=attempt),
            last_seq=len(self.events),
            mark=self.mark,
            limits=BufferLimits(),
            steps=self.steps,
            openings=openings,
        )
        if not self.events:
            journal.emit(events.run_started("s1", "r1"))
        return journal


def pipeline(models: Any, blueprint: Any = BLUEPRINT) -> RunPipeline:
    return RunPipeline(
        router=FakeRouter("build"),
        planner=FakePlanner(blueprint),
        rag=FakeRag(),
        models=models,
        sessions=FakeSessions(),
        cel=FakeCel(),
        sleep=no_sleep,
    )


@pytest.mark.parametrize("lost_after", range(5))
async def test_a_run_is_stored_whole_whenever_its_owner_is_lost(lost_after: int) -> None:
    store, models = Store(), FakeModels()
    store.until = lost_after
    with pytest.raises(LeaseLost):
        await pipeline(models).run(store.own(1))
    store.until = 10**6
    journal = store.own(2)
    outcome = await pipeline(models).run(journal)
    await journal.succeed(outcome)
    agui.check(store.events)
    assert set(store.steps) == {"route", "plan", "node:found", "node:text", "node:last"}
    text = answer("[1] Title 0\nabout mills\n\n[2] Title 1\nabout mills")
    assert outcome.output["reply"] == answer(f"after {text}")
    assert agui.text(store.events, "r1:last:2") == outcome.output["reply"]


AGENT = {
    **BLUEPRINT,
    "nodes": [{"id": "last", "kind": "compose", "prompt": "add", "tools": ["calculator", "search"]}],
    "layout": [],
}


def adding(request: ChatRequest) -> Scripted | str:
    """Adds twice, side by side, looks something up, then answers with what it was told."""
    told = [message.content for message in request.messages if message.role == "tool"]
    if not told:
        calls = [ToolCall(f"c{n}", "calculator", f'{{"expression": "{n} + {n}"}}') for n in (1, 2)]
        return Scripted(("I add. ",), tool_calls=calls)
    if len(told) == 2:
        return Scripted((), tool_calls=[ToolCall("s", "search", '{"query": "mills", "top_k": 1}')])
    return "told " + " ".join(str(orjson.loads(one).get("value", "mills")) for one in told)


@pytest.mark.parametrize("lost_after", range(9))
async def test_a_model_with_tools_is_taken_over_wherever_its_owner_is_lost(lost_after: int) -> None:
    store, models = Store(), ScriptedModels(otherwise=adding)
    store.until = lost_after
    lost = False
    try:
        await pipeline(models, AGENT).run(store.own(1))
    except LeaseLost:
        lost = True
    assert lost == (lost_after < 8)
    paid = sum(name in ("node:last", "node:last#1", "node:last#2") for name in store.steps)
    asked = len(models.requests)
    store.until = 10**6
    journal = store.own(2)
    outcome = await pipeline(models, AGENT).run(journal)
    await journal.succeed(outcome)
    agui.check(store.events)
    rounds = {"node:last#1", "node:last#1.0", "node:last#1.1", "node:last#2", "node:last#2.0"}
    assert set(store.steps) == {"route", "plan", "node:last"} | rounds
    assert len(models.requests) - asked == 3 - paid
    assert outcome.output["reply"] == "told 2 4 mills"
    results = [event["content"] for event in store.events if event["type"] == "TOOL_CALL_RESULT"]
    assert len(results) == 3


async def test_cancelling_a_run_ends_the_calls_that_its_model_has_made() -> None:
    store, models = Store(), ScriptedModels(otherwise=adding)
    started, ended = asyncio.Event(), []

    async def search(*_: Any, **__: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("search")

    whole = pipeline(models, AGENT)
    whole._parts.rag.search = search  # type: ignore[method-assign]
    running = asyncio.create_task(whole.run(store.own(1)))
    await asyncio.wait_for(started.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["search"]
