"""From names in a request to the plan: what connectors are asked, kept and forgiven, and what is asked back."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_executor import events
from headrace_executor.engine import resolving
from headrace_executor.engine.clarifications import Answers
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.engine.resolving import Resolved, Resolver
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import ClaimedRun, Outcome, RunKind
from headrace_executor.ports import Entity, Interrupted
from headrace_runtime import errors
from headrace_tools.errors import ToolFailed
from headrace_tools.model import EntitySource

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
from tests.support.toolbox import FakeToolbox, tool

CLASSES = EntitySource("class", "school.classes", {"all": True}, "/items", "id", ("name",), cache_s=300.0)
STUDENTS = EntitySource("student", "school.students", {}, "", "id", ("name",))
ROWS = [{"id": "c1", "name": "3B", "year": 2024}, {"id": "c2", "name": "3B", "year": 2025}, {"id": "c3", "name": "4C"}]
PLAN = {
    "version": 1,
    "name": "report",
    "inputs": {"type": "object", "properties": {"entities": {"type": "object"}}},
    "nodes": [{"id": "a", "kind": "compute", "expr": "inputs.entities.class.id"}],
    "output": "${nodes.a.output}",
}
RUN = "01890a5d-ac96-774b-bcce-b302099a8057"


@dataclass
class Kept:
    """The runs of a session that asked back."""

    runs: dict[str, Interrupted] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)

    async def load(self, run: ClaimedRun, run_id: str) -> Interrupted | None:
        if self.failures:
            raise self.failures.pop(0)
        return self.runs.get(run_id)


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class World:
    """A pipeline with a school."""

    def __init__(self, *, intent: str = "build", rows: Any = ROWS, limits: Limits | None = None) -> None:
        self.rows = rows
        self.toolbox = FakeToolbox(
            [tool("school.classes"), tool("school.students")],
            {"school.classes": lambda _: self.rows if isinstance(self.rows, Exception) else {"items": self.rows}},
            [CLASSES],
        )
        self.router, self.planner, self.kept = FakeRouter(intent), FakePlanner(PLAN), Kept()
        self.pipeline = RunPipeline(
            router=self.router,
            planner=self.planner,
            rag=FakeRag(),
            models=FakeModels(),
            sessions=FakeSessions(),
            cel=FakeCel(),
            toolbox=self.toolbox,
            interruptions=self.kept,
            limits=limits,
            now=lambda: NOW,
            sleep=no_sleep,
        )

    async def run(
        self, body: Mapping[str, Any], *, kind: RunKind = RunKind.CONVERSATION, run_id: str = RUN, journal: Any = None
    ) -> tuple[Outcome, FakeJournal]:
        journal = journal or FakeJournal(claimed(body, kind=kind, run_id=run_id))
        outcome = await self.pipeline.run(journal)
        kind_of_end = "interrupt" if outcome.interrupts else "success"
        last = events.run_finished(
            "s1", run_id, result=outcome.output, usage=[], outcome=kind_of_end, interrupts=outcome.interrupts
        )
        journal.finish(last)
        agui.check(journal.log.events)
        if outcome.interrupts:
            self.kept.runs[run_id] = Interrupted(body, outcome.output["interrupts"])
        return outcome, journal

    async def fails(self, body: Mapping[str, Any]) -> str:
        with pytest.raises(RunFailed) as caught:
            await self.run(body, run_id="again")
        return caught.value.failure.message


def answer(payload: Any = "c2", run_id: str = RUN, status: str = "resolved") -> Mapping[str, Any]:
    return {"interrupt_id": f"{run_id}:0", "status": status, "payload": payload}


def customs(journal: FakeJournal, name: str) -> list[Any]:
    return [event["value"] for event in journal.events if event.get("name") == f"headrace.{name}"]


async def test_a_name_is_resolved_before_the_plan_which_reads_it() -> None:
    world = World()
    outcome, journal = await world.run({"message": "report for 4c"})
    assert world.planner.calls[0]["entities"] == (Entity("class", "c3", "4C", "4c"),)
    assert outcome.output["reply"] == "c3"
    assert list(journal.log.steps) == ["route", "resolve", "plan", "node:a"]
    assert journal.log.steps["resolve"].output["entities"] == [{"kind": "class", "id": "c3", "name": "4C", "text": "4c"}]


async def test_the_planner_is_offered_the_tenants_tools_or_those_that_are_named() -> None:
    world = World()
    await world.run({"message": "report for 4c"})
    await world.run({"message": "report for 4c", "tools": ["school.students", "time"]})
    offered = [[one.name for one in call["tool_specs"]] for call in world.planner.calls]
    assert offered == [["school.classes", "school.students"], ["school.students"]]


@pytest.mark.parametrize("intent", ["chat", "qa"])
async def test_what_is_not_built_is_not_resolved(intent: str) -> None:
    world = World(intent=intent)
    world.planner.blueprint = {**PLAN, "inputs": {}, "nodes": [{"id": "a", "kind": "compute", "expr": "1"}]}
    await world.run({"message": "report for 3B"})
    assert not world.toolbox.calls
    assert not world.planner.calls[0]["tool_specs"]


async def test_a_plan_of_the_callers_own_is_not_resolved() -> None:
    world = World()
    own = {**PLAN, "nodes": [{"id": "a", "kind": "compute", "expr": "1"}]}
    await world.run({"message": "report for 3B", "blueprint": own})
    assert not world.toolbox.calls


async def test_without_records_there_is_no_such_step() -> None:
    world = World()
    world.toolbox.sources = ()
    world.planner.blueprint = {**PLAN, "nodes": [{"id": "a", "kind": "compute", "expr": "size(inputs.entities)"}]}
    outcome, journal = await world.run({"message": "report for 3B"})
    assert "resolve" not in journal.log.steps
    assert outcome.output["reply"] == "0"


async def test_an_ambiguous_name_is_asked_back_before_anything_is_planned() -> None:
    world = World()
    outcome, journal = await world.run({"message": "report for 3B"})
    assert not world.planner.calls
    (interrupt,) = outcome.interrupts
    assert interrupt["id"] == f"{RUN}:0"
    assert outcome.reply == outcome.output["reply"] == interrupt["message"]
    assert outcome.output["interrupts"] == [interrupt]
    (told,) = customs(journal, "clarification")
    assert told["interrupt_id"] == interrupt["id"]
    assert [one["id"] for one in told["candidates"]] == ["c1", "c2"]
    last = journal.log.events[-1]
    assert last["outcome"] == {"type": "interrupt", "interrupts": [interrupt]}


async def test_the_answer_is_another_run_that_plans_the_same_message_with_it() -> None:
    world = World()
    await world.run({"message": "report for 3B and 4C", "model": "big", "execute": True})
    outcome, _ = await world.run({"resume": [answer()], "mode": "auto"}, run_id="again")
    asked = world.planner.calls[0]
    assert asked["message"] == "report for 3B and 4C"
    assert asked["model"] == "big"
    assert asked["entities"] == (Entity("class", "c2", "3B", "3B"), Entity("class", "c3", "4C", "4C"))
    assert world.router.calls[1]["mode"] == "build"
    assert outcome.output["reply"] == "c2"


async def test_it_may_be_answered_again_and_otherwise() -> None:
    world = World()
    await world.run({"message": "report for 3B"})
    replies = [
        (await world.run({"resume": [answer(one)]}, run_id=f"again {one}"))[0].output["reply"] for one in ("c2", "c1")
    ]
    assert replies == ["c2", "c1"]


async def test_an_answer_holds_although_the_connector_is_away_by_then() -> None:
    world = World()
    await world.run({"message": "report for 3B"})
    world.pipeline._resolver._kept.clear()
    world.rows = ToolFailed("asleep", reason="away")
    outcome, _ = await world.run({"resume": [answer()]}, run_id="again")
    assert outcome.output["reply"] == "c2"


async def test_another_message_with_the_answer_is_asked_about_in_its_turn() -> None:
    world = World(rows=[*ROWS, {"id": "d1", "name": "5D"}, {"id": "d2", "name": "5D"}])
    await world.run({"message": "report for 3B"})
    second, _ = await world.run({"message": "compare 3B and 5D", "resume": [answer()]}, run_id="second")
    assert [one["metadata"]["text"] for one in second.interrupts] == ["5D"]
    await world.run({"resume": [answer("d1", "second")]}, run_id="third")
    asked = world.planner.calls[0]
    assert asked["message"] == "compare 3B and 5D"
    assert {(one.id, one.text) for one in asked["entities"]} == {("c2", "3B"), ("d1", "5D")}


async def test_a_question_that_is_given_up_ends_politely_and_costs_nothing() -> None:
    world = World()
    await world.run({"message": "report for 3B"})
    outcome, journal = await world.run({"resume": [answer(None, status="cancelled")]}, run_id="again")
    assert outcome.reply
    assert outcome.output["intent"]["kind"] == "build"
    assert not journal.log.steps
    assert len(world.router.calls) == 1


async def test_a_question_that_is_given_up_with_a_new_message_leaves_that_message() -> None:
    world = World()
    await world.run({"message": "report for 3B"})
    given_up = [answer(None, status="cancelled")]
    outcome, _ = await world.run({"message": "report for 4C", "resume": given_up}, run_id="again")
    assert outcome.output["reply"] == "c3"
    assert world.planner.calls[0]["message"] == "report for 4C"


async def test_the_message_that_was_asked_about_is_no_new_one_however_often_it_was_asked_back() -> None:
    world = World()
    message = {"message": "report for 3B"}
    first, _ = await world.run(message)
    world.kept.runs["second"] = Interrupted({"resume": [answer()]}, [{**first.interrupts[0], "id": "second:0"}])
    for asking in (RUN, "second"):
        given_up = [answer(None, asking, status="cancelled")]
        outcome, journal = await world.run({**message, "resume": given_up}, run_id=f"after {asking}")
        assert outcome.reply
        assert not journal.log.steps


@pytest.mark.parametrize(
    ("resume", "says"),
    [
        ([answer("c9")], 'must be one of "c1", "c2"'),
        ([answer("c1", "01890a5d-ac96-774b-bcce-b302099a8058")], "no run of this session"),
    ],
)
async def test_a_wrong_answer_fails_clearly(resume: Sequence[Any], says: str) -> None:
    world = World()
    await world.run({"message": "report for 3B"})
    assert says in await world.fails({"resume": resume})


async def test_a_run_store_that_is_away_only_delays_the_answer() -> None:
    world = World()
    await world.run({"message": "report for 3B"})
    world.kept.failures = [errors.Unavailable("starting")]
    outcome, _ = await world.run({"resume": [answer()]}, run_id="again")
    assert outcome.output["reply"] == "c2"


async def test_workflows_ask_back_and_are_answered_as_well() -> None:
    world = World()
    outcome, _ = await world.run({"prompt": "report for 3B"}, kind=RunKind.WORKFLOW)
    assert len(outcome.interrupts) == 1
    outcome, _ = await world.run({"resume": [answer()]}, kind=RunKind.WORKFLOW, run_id="again")
    assert outcome.output["blueprint"] == PLAN
    assert world.planner.calls[0]["entities"][0].id == "c2"


async def test_who_takes_over_asks_no_connector_again() -> None:
    world = World()
    first = FakeJournal(claimed({"message": "report for 4C"}, run_id=RUN), crash_at=3, crash_commits=True)
    with pytest.raises(LeaseLost):
        await world.pipeline.run(first)
    assert "resolve" in first.log.steps
    world.rows = ToolFailed("asleep", reason="away")
    second = FakeJournal(claimed({"message": "report for 4C"}, run_id=RUN, attempt=2), log=first.log)
    outcome, _ = await world.run({}, journal=second)
    assert outcome.output["reply"] == "c3"
    assert len(world.toolbox.calls) == 1


async def test_a_connector_that_is_away_is_a_warning_of_the_plan() -> None:
    world = World(rows=ToolFailed("the school sleeps", reason="away"))
    world.planner.blueprint = {**PLAN, "nodes": [{"id": "a", "kind": "compute", "expr": "1"}]}
    _, journal = await world.run({"message": "report for 3B"})
    (plan,) = customs(journal, "plan")
    assert plan["warnings"] == ["names of the kind class: the tool school.classes: the school sleeps", "a warning"]


async def test_one_that_does_not_answer_is_waited_for_only_so_long() -> None:
    world = World(limits=Limits(resolve_deadline_s=0.01))
    world.toolbox.does = {"school.classes": lambda _: asyncio.Event().wait()}
    world.planner.blueprint = {**PLAN, "nodes": [{"id": "a", "kind": "compute", "expr": "1"}]}
    _, journal = await world.run({"message": "report for 3B"})
    assert "0.01 s" in customs(journal, "plan")[0]["warnings"][0]


async def test_a_guess_is_a_warning_of_the_plan() -> None:
    world = World(rows=[{"id": "c7", "name": "Sunflowers"}])
    outcome, journal = await world.run({"message": "report for the Sunflwers"})
    assert outcome.output["reply"] == "c7"
    assert "“Sunflwers” was taken for Sunflowers (class)" in customs(journal, "plan")[0]["warnings"]


class TestResolver:
    def resolver(self, toolbox: FakeToolbox, clock: Clock | None = None) -> Resolver:
        return Resolver(toolbox, deadline_s=5.0, clock=clock or Clock())

    async def ids(self, resolver: Resolver, text: str, tenant: str = "t1") -> list[Any]:
        done = await resolver.resolve(claimed({}, tenant_id=tenant), text, intent="build", answers=Answers())
        return [one.id for one in Resolved.from_json(done.output).entities]

    async def test_records_are_kept_for_as_long_as_their_source_says_and_for_each_tenant(self) -> None:
        toolbox, clock = World().toolbox, Clock()
        resolver = self.resolver(toolbox, clock)
        for _ in range(3):
            assert await self.ids(resolver, "4C") == ["c3"]
        assert [(one.tenant_id, one.arguments) for one in toolbox.calls] == [("t1", {"all": True})]
        await self.ids(resolver, "4C", "t2")
        assert len(toolbox.calls) == 2
        clock.now = 299.0
        await self.ids(resolver, "4C")
        assert len(toolbox.calls) == 2
        clock.now = 300.0
        await self.ids(resolver, "4C")
        assert len(toolbox.calls) == 3

    async def test_a_source_is_read_once_however_many_wait_for_it(self) -> None:
        toolbox = World().toolbox
        resolver = self.resolver(toolbox)
        assert await asyncio.gather(*(self.ids(resolver, "4C") for _ in range(20))) == [["c3"]] * 20
        assert (len(toolbox.calls), toolbox.most_running) == (1, 1)

    async def test_one_that_is_cancelled_leaves_the_reading_to_the_next(self) -> None:
        toolbox, resolver = World().toolbox, None
        started, stuck = asyncio.Event(), asyncio.Event()

        async def once(_: Any) -> Any:
            if not started.is_set():
                started.set()
                await stuck.wait()
            return {"items": ROWS}

        toolbox.does = {"school.classes": once}
        resolver = self.resolver(toolbox)
        first = asyncio.create_task(self.ids(resolver, "4C"))
        await started.wait()
        second = asyncio.create_task(self.ids(resolver, "4C"))
        first.cancel()
        assert await second == ["c3"]
        with pytest.raises(asyncio.CancelledError):
            await first

    async def test_a_source_that_failed_is_left_alone_for_a_while(self) -> None:
        world, clock = World(rows=ToolFailed("asleep", reason="away")), Clock()
        resolver = self.resolver(world.toolbox, clock)
        for _ in range(3):
            assert await self.ids(resolver, "4C") == []
        assert len(world.toolbox.calls) == 1
        world.rows, clock.now = ROWS, resolving.RETRY_S
        assert await self.ids(resolver, "4C") == ["c3"]

    async def test_one_source_that_is_away_takes_nothing_from_another(self) -> None:
        world = World()
        world.toolbox.sources = (CLASSES, STUDENTS)
        done = await self.resolver(world.toolbox).resolve(claimed({}), "4C", intent="build", answers=Answers())
        assert [one["id"] for one in done.output["entities"]] == ["c3"]
        assert "student" in done.output["warnings"][0]

    async def test_what_was_not_used_for_longest_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resolving, "MAX_KEPT", 2 * len(ROWS))
        toolbox = World().toolbox
        resolver = self.resolver(toolbox)
        for tenant in ("t1", "t2", "t1", "t3", "t1", "t2"):
            await self.ids(resolver, "4C", tenant)
        assert [one.tenant_id for one in toolbox.calls] == ["t1", "t2", "t3", "t2"]

    async def test_more_records_than_are_read_is_a_warning(self) -> None:
        world = World(rows=[{"id": n, "name": f"name {n:05}"} for n in range(5_001)])
        done = await self.resolver(world.toolbox).resolve(claimed({}), "name 04999", intent="build", answers=Answers())
        assert [one["id"] for one in done.output["entities"]] == [4999]
        assert "first 5000" in done.output["warnings"][0]
