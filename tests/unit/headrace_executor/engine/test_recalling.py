"""What a session remembers goes into the answer that asks for it, and never keeps one from being given."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_executor import events
from headrace_executor.engine import recalling
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.errors import StoreAway, StoreRefused
from headrace_executor.model import ClaimedRun, Outcome, StepRecord
from headrace_executor.ports import Recalled, Turn
from headrace_llm.usage import Usage
from headrace_planner import answering, library
from headrace_planner import model as planning
from headrace_runtime import errors
from hypothesis import given
from hypothesis import strategies as st

from tests.support import agui
from tests.support.executor_fakes import (
    NOW,
    FakeCel,
    FakeJournal,
    FakeModels,
    FakePlanner,
    FakeRag,
    FakeRouter,
    FakeSessions,
    claimed,
    no_sleep,
)

FOUND = (
    Recalled("food", "The user is allergic\n to peanuts.", 0.6),
    Recalled("home", "Lives in Berlin.", 0.2),
    Recalled("noise", "The tea was cold.", 0.05),
)
WARNING = "what the session remembers could not be recalled; the answer does without it"


def talk(intent: str) -> Any:
    """The planner's own blueprint for a message, earlier ones and memories."""
    history = (planning.Turn("user", "hi"),)
    return answering.blueprint(planning.Request("acme", planning.Intent(intent), "", history=history, recalled=True))


@dataclass
class FakeMemories:
    """Implements `ports.Memories`."""

    found: Sequence[Recalled] = FOUND
    error: Exception | None = None
    hangs: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def recall(self, run: ClaimedRun, query: str, *, top_k: int) -> Sequence[Recalled]:
        self.asked.append((query, top_k))
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.found[:top_k]


@dataclass
class Stage:
    """One conversation and its doubles."""

    body: dict[str, Any]
    intent: str = "chat"
    memories: FakeMemories = field(default_factory=FakeMemories)
    models: FakeModels = field(default_factory=FakeModels)
    turns: Sequence[Turn] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.journal = FakeJournal(claimed({"message": "What may I eat?", **self.body}))
        self.planner = FakePlanner(self.body.get("blueprint") or (talk(self.intent) if self.intent != "build" else None))

    async def run(self) -> Outcome:
        pipeline = RunPipeline(
            router=FakeRouter(intent=self.intent),
            planner=self.planner,
            rag=FakeRag(),
            models=self.models,
            sessions=FakeSessions(self.turns),
            cel=FakeCel(),
            memories=self.memories,
            limits=self.limits,
            now=lambda: NOW,
            sleep=no_sleep,
        )
        outcome = await pipeline.run(self.journal)
        agui.check(self.journal.finish(events.run_finished("s1", "r1", result=None, usage=[], outcome="success")))
        return outcome

    @property
    def prompt(self) -> str:
        return str(self.models.requests[-1].messages[-1].content)

    def custom(self, name: str) -> list[Any]:
        return [e["value"] for e in self.journal.log.events if e["type"] == "CUSTOM" and e["name"] == name]

    def steps(self) -> list[str]:
        return [e["stepName"] for e in self.journal.log.events if e["type"] == "STEP_STARTED"]


@pytest.mark.parametrize("intent", ["chat", "qa"])
async def test_an_answer_that_asks_for_memories_is_made_with_the_nearest(intent: str) -> None:
    stage = Stage({"memory": {"top_k": 3}}, intent=intent, turns=(Turn("user", "Hello there."),))
    await stage.run()
    assert stage.memories.asked == [("What may I eat?", 3)]
    assert stage.steps()[:3] == ["route", "recall", "plan"]
    assert "- food: The user is allergic to peanuts.\n- home: Lives in Berlin." in stage.prompt
    assert "tea" not in stage.prompt
    assert "Hello there." in stage.prompt
    (shown,) = stage.custom("headrace.recalled")
    assert shown == {"memories": [{"key": "food", "score": 0.6}, {"key": "home", "score": 0.2}], "warnings": []}
    assert stage.planner.calls[0]["recalled"] is True


@pytest.mark.parametrize(
    ("body", "intent"), [({}, "chat"), ({"memory": None}, "qa"), ({"memory": {}, "execute": False}, "build")], ids=str
)
async def test_nothing_is_recalled_where_nobody_asks_or_no_plan_reads_it(body: dict[str, Any], intent: str) -> None:
    stage = Stage(body, intent=intent)
    stage.planner.blueprint = library.load().blueprints["build"] if intent == "build" else talk(intent)
    await stage.run()
    assert stage.memories.asked == []
    assert "recall" not in stage.steps()
    assert stage.planner.calls[0]["recalled"] is False


async def test_a_session_that_remembers_nothing_is_answered_by_the_plan_without_memories() -> None:
    stage = Stage({"memory": {}}, memories=FakeMemories(found=FOUND[2:]))
    await stage.run()
    assert stage.memories.asked == [("What may I eat?", 5)]
    assert stage.planner.calls[0]["recalled"] is False
    assert stage.custom("headrace.recalled") == [{"memories": [], "warnings": []}]


@pytest.mark.parametrize(
    "error",
    [errors.Unavailable("away"), errors.NotFound("no such session"), StoreAway(), StoreRefused("no")],
    ids=lambda error: type(error).__name__,
)
async def test_a_failure_is_a_warning_and_the_run_goes_on(error: Exception) -> None:
    stage = Stage({"memory": {"top_k": 1}}, memories=FakeMemories(error=error))
    outcome = await stage.run()
    assert outcome.output["reply"]
    assert stage.custom("headrace.recalled")[0]["warnings"] == [WARNING]
    assert WARNING in stage.custom("headrace.plan")[0]["warnings"]
    assert stage.planner.calls[0]["recalled"] is False


async def test_memories_that_take_too_long_are_done_without() -> None:
    stage = Stage({"memory": {}}, memories=FakeMemories(hangs=True), limits=Limits(recall_deadline_s=0.01))
    assert (await stage.run()).output["reply"]
    assert stage.custom("headrace.recalled")[0]["warnings"] == [WARNING]


async def test_a_plan_of_the_callers_own_reads_memories_and_hears_of_failures() -> None:
    own = {**talk("chat"), "name": "own"}
    stage = Stage({"memory": {}, "blueprint": own}, intent="build")
    await stage.run()
    assert "- food: The user is allergic to peanuts." in stage.prompt
    failing = Stage({"memory": {}, "blueprint": own}, memories=FakeMemories(error=errors.Unavailable("away")))
    await failing.run()
    assert failing.custom("headrace.plan")[0]["warnings"] == [WARNING]


async def test_a_run_that_is_taken_over_recalls_nothing_anew() -> None:
    stage = Stage({"memory": {}})
    stage.journal.steps["recall"] = StepRecord({"text": "- food: as it was", "warnings": []}, Usage())
    await stage.run()
    assert stage.memories.asked == []
    assert "- food: as it was" in stage.prompt


@given(
    st.lists(st.text(max_size=400), max_size=8),
    st.integers(min_value=1, max_value=600),
)
async def test_what_is_recalled_is_bounded_and_whole_but_for_the_nearest(texts: list[str], characters: int) -> None:
    found = [Recalled(f"k{at}", text, 0.9 - at / 100) for at, text in enumerate(texts)]
    limits = Limits(recall_characters=characters)
    done = await recalling.recall(claimed({}), FakeMemories(found=found), "q", top_k=50, limits=limits)
    text = done.output["text"]
    assert len(text) <= characters
    lines = text.split("\n") if text else []
    whole = [f"- k{at}: {' '.join(one.split())}" for at, one in enumerate(texts)]
    assert lines[1:] == whole[1 : len(lines)]
    if texts:
        assert whole[0].startswith(lines[0])
    assert [one["key"] for one in done.events[0]["value"]["memories"]] == [f"k{at}" for at in range(len(lines))]
