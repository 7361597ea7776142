"""Each kind of run from its body to its outcome, over fakes."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from headrace_executor import events
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import FailureCode, RunKind
from headrace_executor.ports import Turn
from headrace_runtime import errors

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
    answer,
    claimed,
    no_sleep,
)

INPUTS = {"type": "object", "properties": {"message": {"type": "string"}, "history": {"type": "string"}}}
CHAT = {
    "version": 1,
    "name": "chat",
    "inputs": INPUTS,
    "nodes": [{"id": "answer", "kind": "compose", "prompt": "${inputs.history}|${inputs.message}"}],
    "output": "${nodes.answer.output}",
}
QA = {
    "version": 1,
    "name": "qa",
    "inputs": INPUTS,
    "nodes": [
        {"id": "found", "kind": "retrieve", "query": "${inputs.message}"},
        {"id": "again", "kind": "data", "tool": "search", "args": {"query": "${inputs.message}", "top_k": 1}},
        {"id": "answer", "kind": "compose", "prompt": "${nodes.found.output.text}"},
    ],
    "output": "${nodes.answer.output}",
}
BUILD = {
    "version": 1,
    "name": "report",
    "inputs": INPUTS,
    "nodes": [
        {"id": "one", "kind": "compose", "prompt": "first ${inputs.message}"},
        {"id": "two", "kind": "compute", "expr": "size(nodes.one.output)"},
    ],
    "layout": [
        {"slot": "text", "title": "The text", "node": "one"},
        {"slot": "size", "title": "Its size", "node": "two"},
    ],
    "output": "${nodes.two.output}",
}
QUIZ = {
    **CHAT,
    "nodes": [{"id": "answer", "kind": "compose", "prompt": "${inputs.message}", "schema": {"type": "object"}}],
}


class World:
    """A pipeline and its fakes."""

    def __init__(self, blueprint: Any = CHAT, *, intent: str = "chat") -> None:
        self.router = FakeRouter(intent)
        self.planner = FakePlanner(blueprint)
        self.rag = FakeRag()
        self.models = FakeModels()
        self.sessions = FakeSessions()
        self.pipeline = RunPipeline(
            router=self.router,
            planner=self.planner,
            rag=self.rag,
            models=self.models,
            sessions=self.sessions,
            cel=FakeCel(),
            now=lambda: NOW,
            sleep=no_sleep,
        )

    async def run(self, body: Mapping[str, Any], **changes: Any) -> tuple[Any, FakeJournal]:
        journal = FakeJournal(claimed(body, **changes))
        return await self.pipeline.run(journal), journal


def steps(journal: FakeJournal) -> list[str]:
    """Finished ones but a page's phases."""
    found = [event["stepName"] for event in journal.events if event["type"] == "STEP_FINISHED"]
    return [name for name in found if name not in ("data", "compute", "compose")]


def customs(journal: FakeJournal) -> dict[str, Any]:
    return {event["name"]: event["value"] for event in journal.events if event["type"] == "CUSTOM"}


async def test_a_conversation_is_routed_planned_and_answered() -> None:
    world = World()
    outcome, journal = await world.run({"message": "hello"})
    reply = answer("|hello")
    assert outcome.reply == reply
    assert outcome.output == {
        "intent": {"kind": "chat", "confidence": 0.75, "decided_by": "embedding"},
        "reply": reply,
        "blueprint": None,
        "quiz": None,
        "citations": [],
    }
    assert steps(journal) == ["route", "plan", "node:answer"]
    assert customs(journal)["headrace.intent"]["kind"] == "chat"
    assert customs(journal)["headrace.plan"] == {"origin": "builtin", "warnings": ["a warning"]}
    journal.finish(events.run_finished("s1", "r1", result=outcome.output, usage=[], outcome="success"))
    agui.check(journal.log.events)


async def test_what_was_said_before_reaches_router_planner_and_prompts() -> None:
    world = World()
    world.sessions.turns = [Turn("user", "I am Ann"), Turn("assistant", "Hi Ann")]
    await world.run({"message": "who am I?", "mode": "auto"})
    assert world.router.calls[0]["history"] == world.sessions.turns
    assert world.planner.calls[0]["history"] == world.sessions.turns
    assert world.models.requests[0].messages[0].content == "user: I am Ann\nassistant: Hi Ann|who am I?"


async def test_what_the_caller_says_was_said_before_stands_for_the_sessions() -> None:
    world = World()
    world.sessions.turns = [Turn("user", "I am Ann")]
    turns = [{"role": "user", "text": f"I am {n}"} for n in range(20)]
    await world.run({"message": "who am I?", "mode": "auto", "history": turns})
    assert list(world.router.calls[0]["history"]) == [Turn("user", f"I am {n}") for n in range(12, 20)]
    assert "Ann" not in world.models.requests[0].messages[0].content


async def test_a_caller_may_say_that_nothing_was_said_before() -> None:
    world = World()
    world.sessions.turns = [Turn("user", "I am Ann")]
    await world.run({"message": "who am I?", "mode": "auto", "history": []})
    assert list(world.router.calls[0]["history"]) == []
    assert world.models.requests[0].messages[0].content == "|who am I?"


async def test_an_answer_cites_what_all_searches_found_once() -> None:
    outcome, _ = await World(QA, intent="qa").run({"message": "mills"})
    assert [one["document_id"] for one in outcome.output["citations"]] == ["d0", "d1"]
    assert set(outcome.output["citations"][0]) == {"document_id", "title", "text", "score"}


async def test_a_build_is_run_and_answers_with_blueprint_and_page() -> None:
    world = World(BUILD, intent="build")
    outcome, journal = await world.run({"message": "x"})
    text = answer("first x")
    assert outcome.output["blueprint"]["name"] == "report"
    assert [slot["value"] for slot in outcome.output["page"]["slots"]] == [text, 9]
    assert outcome.reply == f"## The text\n\n{text}"
    assert steps(journal) == ["route", "plan", "node:one", "node:two"]


async def test_a_build_that_is_not_to_be_run_ends_with_its_plan() -> None:
    world = World(BUILD, intent="build")
    outcome, journal = await world.run({"message": "x", "execute": False})
    assert outcome.output["blueprint"] == BUILD
    assert outcome.output["inputs"] == {"message": "x"}
    assert steps(journal) == ["route", "plan"]
    assert not world.models.requests


async def test_a_change_that_names_no_page_is_planned_as_a_build() -> None:
    world = World(BUILD, intent="patch")
    outcome, _ = await world.run({"message": "x"})
    assert world.planner.calls[0]["intent"] == "build"
    assert outcome.output["intent"]["kind"] == "patch"


async def test_a_quiz_run_has_its_json_in_quiz() -> None:
    world = World(QUIZ)
    world.models.say = lambda _: '{"questions": [1]}'
    outcome, _ = await world.run({"message": "algebra"}, kind=RunKind.QUIZ)
    assert world.router.calls[0]["mode"] == "quiz"
    assert outcome.output["quiz"] == {"questions": [1]}


async def test_a_quiz_reads_as_a_text_without_its_answers() -> None:
    world = World(QUIZ, intent="quiz")
    question = '{"question": "1 + 1?", "options": ["1", "2"], "answer": 1, "explanation": "so it is"}'
    world.models.say = lambda _: f'{{"title": "Sums", "questions": [{question}]}}'
    outcome, _ = await world.run({"message": "sums"})
    assert outcome.reply == "Sums\n\n1. 1 + 1?\n   A) 1\n   B) 2"


@pytest.mark.parametrize(("wanted", "said"), [(2, ["the quiz has 1 of 2 questions"]), (1, [])])
async def test_a_quiz_with_fewer_questions_than_were_to_come_says_so(wanted: int, said: list[str]) -> None:
    properties = {"message": {"type": "string"}, "questions": {"type": "integer", "default": wanted}}
    world = World({**QUIZ, "inputs": {"type": "object", "properties": properties}}, intent="quiz")
    world.models.say = lambda _: '{"title": "Sums", "questions": [1]}'
    outcome, _ = await world.run({"message": "sums"})
    assert [one.partition(":")[0] for one in outcome.output.get("warnings", [])] == said


async def test_the_callers_own_blueprint_is_not_planned() -> None:
    world = World(intent="build")
    outcome, journal = await world.run({"message": "x", "blueprint": BUILD})
    assert not world.planner.calls
    assert world.router.calls[0]["has_blueprint"] is True
    assert customs(journal)["headrace.plan"]["origin"] == "request"
    assert outcome.output["blueprint"] == BUILD


async def test_a_workflow_is_planned_only() -> None:
    world = World(BUILD)
    outcome, journal = await world.run({"prompt": "a report", "sources": ["w"]}, kind=RunKind.WORKFLOW)
    assert outcome.output == {
        "blueprint": BUILD,
        "origin": "builtin",
        "warnings": ["a warning"],
        "inputs": {"message": "a report"},
    }
    assert outcome.reply is None
    assert steps(journal) == ["plan"]
    assert world.planner.calls[0]["sources"] == ("w",)


async def test_a_page_runs_its_blueprint_on_checked_inputs() -> None:
    outcome, journal = await World().run({"blueprint": BUILD, "inputs": {"message": "x"}}, kind=RunKind.PAGE)
    text = answer("first x")
    assert outcome.output["page"]["slots"] == [
        {"slot": "text", "title": "The text", "node": "one", "value": text},
        {"slot": "size", "title": "Its size", "node": "two", "value": 9},
    ]
    assert outcome.output["output"] == 9
    assert steps(journal) == ["node:one", "node:two"]


async def test_defaults_of_the_inputs_schema_are_filled_in() -> None:
    schema = {"properties": {"n": {"type": "integer", "default": 4}}, "required": ["n"]}
    nodes = [{"id": "a", "kind": "compute", "expr": "inputs.n + 1"}]
    blueprint = {"version": 1, "name": "n", "inputs": schema, "nodes": nodes, "output": "${nodes.a.output}"}
    outcome, _ = await World().run({"blueprint": blueprint}, kind=RunKind.PAGE)
    assert outcome.output["output"] == 5


@pytest.mark.parametrize("inputs", [{"message": 3}, [], "text"])
async def test_inputs_that_do_not_fit_are_refused_with_their_place(inputs: Any) -> None:
    with pytest.raises(RunFailed, match="/inputs") as caught:
        await World().run({"blueprint": BUILD, "inputs": inputs}, kind=RunKind.PAGE)
    assert caught.value.failure.code is FailureCode.INVALID_BLUEPRINT


@pytest.mark.parametrize(
    "change",
    [
        {"output": "${nodes.nope.output}"},
        {"nodes": [{"id": "a", "kind": "compute", "expr": "nodes.a.output"}], "output": "${nodes.a.output}"},
        {"nodes": [{"id": "a", "kind": "data", "tool": "rm", "args": {}}], "output": "${nodes.a.output}"},
        {"version": 2},
    ],
)
async def test_a_blueprint_that_cannot_run_is_refused_whole(change: Mapping[str, Any]) -> None:
    body = {"blueprint": {"version": 1, "name": "x", "nodes": BUILD["nodes"], "output": "${nodes.two.output}", **change}}
    world = World()
    with pytest.raises(RunFailed) as caught:
        await world.run(body, kind=RunKind.PAGE)
    assert caught.value.failure.code is FailureCode.INVALID_BLUEPRINT
    assert not world.models.requests


async def test_a_document_is_read() -> None:
    body = {"document_id": "d9", "title": "T", "text": "words"}
    outcome, journal = await World().run(body, kind=RunKind.DOCUMENT)
    assert outcome.output["document"]["document_id"] == "d9"
    assert steps(journal) == ["ingest"]


async def test_a_document_that_cannot_be_read_fails_the_run() -> None:
    world = World()
    world.rag.document = {"status": "failed", "error": "no text in it"}
    with pytest.raises(RunFailed, match="no text in it"):
        await world.run({"document_id": "d9", "text": "words"}, kind=RunKind.DOCUMENT)


async def test_a_patch_of_no_page_is_refused_clearly() -> None:
    with pytest.raises(RunFailed, match="page_id"):
        await World().run({}, kind=RunKind.PATCH)


@pytest.mark.parametrize("body", [{}, {"message": ""}, {"message": 3}])
async def test_a_conversation_without_a_message_fails(body: Mapping[str, Any]) -> None:
    with pytest.raises(RunFailed, match="message"):
        await World().run(body)


async def test_killed_services_only_delay_a_run() -> None:
    world = World(QA, intent="qa")
    world.sessions.failures = [errors.Unavailable("starting")]
    world.router.failures = [errors.Unavailable("killed"), errors.DeadlineExceeded("slow")]
    world.planner.failures = [errors.Unavailable("killed"), errors.ResourceExhausted("full", retry_after_s=2)]
    world.rag.failures = [errors.Unavailable("killed"), errors.Aborted("moved")]
    outcome, _ = await world.run({"message": "mills"})
    assert outcome.reply


@pytest.mark.parametrize("crash_at", [1, 2, 3])
@pytest.mark.parametrize("commits", [True, False])
async def test_a_run_that_is_taken_over_pays_for_no_finished_step_again(crash_at: int, commits: bool) -> None:
    world = World()
    first = FakeJournal(claimed({"message": "hello"}), crash_at=crash_at, crash_commits=commits)
    with pytest.raises(LeaseLost):
        await world.pipeline.run(first)
    recorded = len(first.log.steps)
    assert recorded == (crash_at if commits else crash_at - 1)
    second = FakeJournal(claimed({"message": "hello"}, attempt=2), log=first.log)
    outcome = await world.pipeline.run(second)
    assert outcome.reply == answer("|hello")
    assert len(world.router.calls) == (2 if (crash_at, commits) == (1, False) else 1)
    assert len(world.planner.calls) == (2 if (crash_at, commits) == (2, False) else 1)
    assert len(world.models.requests) == (2 if (crash_at, commits) == (3, False) else 1)
    second.finish(events.run_finished("s1", "r1", result=outcome.output, usage=[], outcome="success"))
    agui.check(second.log.events)


async def test_cancelling_a_run_aborts_the_model_call_in_flight() -> None:
    world = World()
    reached = asyncio.Event()

    async def say() -> None:
        reached.set()
        await asyncio.Event().wait()

    world.models.turns.wait = say  # type: ignore[method-assign]
    task = asyncio.create_task(world.pipeline.run(FakeJournal(claimed({"message": "x"}))))
    await asyncio.wait_for(reached.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.models.aborted == 1
