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


def pipeline(models: FakeModels) -> RunPipeline:
    return RunPipeline(
        router=FakeRouter("build"),
        planner=FakePlanner(BLUEPRINT),
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
