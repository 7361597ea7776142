"""A compose node whose model may call tools: rounds, what they cost, what readers see, and where they end."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from headrace_blueprint import plan
from headrace_blueprint.model import Blueprint
from headrace_executor import events
from headrace_executor.engine import answers, wishes
from headrace_executor.engine.execution import Executed, execute
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import FailureCode
from headrace_llm.client import ChatRequest, ToolCall
from headrace_llm.errors import BudgetSpent, InvalidAnswer, ProviderUnavailable
from headrace_llm.usage import ModelUsage, Usage
from headrace_tools.errors import ToolFailed
from hypothesis import given
from hypothesis import strategies as st

from tests.support import agui
from tests.support.executor_fakes import NOW, FakeCel, FakeJournal, FakeRag, claimed, no_sleep
from tests.support.models import Scripted, ScriptedModels
from tests.support.toolbox import FakeToolbox, tool

GRADES = tool(
    "school.grades",
    {
        "type": "object",
        "properties": {"class_id": {"type": "string"}},
        "required": ["class_id"],
        "additionalProperties": False,
    },
)
NODE = {"id": "a", "kind": "compose", "prompt": "How is 3B?", "tools": ["school.grades", "calculator"]}
SCHEMA = {"type": "object", "properties": {"mean": {"type": "number"}}, "required": ["mean"]}
PAID = Usage({"big": ModelUsage(1, 0, 10, 0, 0.0)})
"""What a round costs that wishes calls and says nothing."""


def wish(*calls: tuple[str, Any], text: str = "") -> Scripted:
    """A model's turn that calls functions."""
    made = [
        ToolCall(f"c{index}", name, given if isinstance(given, str) else orjson.dumps(given).decode())
        for index, (name, given) in enumerate(calls)
    ]
    return Scripted(pieces=(text,) if text else (), finish_reason="tool_calls", tool_calls=made)


def box(**does: Any) -> FakeToolbox:
    answer = does.get("grades", lambda _: {"mean": 2.5})
    return FakeToolbox([GRADES], {"school.grades": answer})


async def run(
    models: Any,
    toolbox: FakeToolbox,
    *,
    node: Mapping[str, Any] = NODE,
    journal: Any = None,
    limits: Any = None,
    inputs: Mapping[str, Any] | None = None,
    rag: FakeRag | None = None,
) -> tuple[Executed, FakeJournal]:
    journal = journal or FakeJournal(claimed({}))
    parts = Parts(rag or FakeRag(), models, FakeCel(), lambda: NOW, limits or Limits(), no_sleep, toolbox)
    document = {"version": 1, "name": "test", "nodes": [node], "output": "${nodes.a.output}"}
    executed = await execute(
        journal, plan.compile_plan(Blueprint.model_validate(document)), inputs=inputs or {}, parts=parts
    )
    journal.flush()
    return executed, journal


async def fails(*given: Any, **more: Any) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        await run(*given, **more)
    return caught.value


def told(journal: FakeJournal) -> Sequence[Any]:
    """The results that readers see."""
    return [orjson.loads(event["content"]) for event in journal.events if event["type"] == "TOOL_CALL_RESULT"]


def shown(request: ChatRequest) -> Sequence[str]:
    """The results that a model is shown."""
    return [message.content for message in request.messages if message.role == "tool"]


def legal(journal: FakeJournal) -> None:
    agui.check(journal.finish(events.run_error("internal", "the test is over")))


async def test_a_model_calls_a_tool_sees_its_result_and_answers() -> None:
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), "the mean is 2.5"])
    toolbox = box()
    done, journal = await run(models, toolbox)
    assert done.output == "the mean is 2.5"
    (called,) = toolbox.calls
    assert (called.tenant_id, called.name, called.arguments) == ("t1", "school.grades", {"class_id": "c1"})
    assert called.call_id == "r1:node:a#1.0"
    assert [one["function"]["name"] for one in models.requests[0].tools] == ["school__grades", "calculator"]
    assert models.requests[0].tools[0]["function"]["parameters"] == GRADES.tool.input_schema
    asked, answered = models.requests[1].messages[-2:]
    assert (asked.role, asked.tool_calls[0].name) == ("assistant", "school__grades")
    assert (answered.role, answered.content, answered.tool_call_id) == ("tool", '{"mean":2.5}', asked.tool_calls[0].id)
    legal(journal)


async def test_readers_see_the_call_its_result_and_the_answer() -> None:
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), "the mean is 2.5"])
    _, journal = await run(models, box())
    kinds = [event["type"] for event in journal.events if event["type"].startswith(("TOOL", "TEXT"))]
    assert kinds[:5] == ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT", "TEXT_MESSAGE_START"]
    start = next(event for event in journal.events if event["type"] == "TOOL_CALL_START")
    assert start == {"type": "TOOL_CALL_START", "toolCallId": "r1:a#1.0", "toolCallName": "school.grades"}
    assert agui.text(journal.events, "r1:a") == "the mean is 2.5"


async def test_what_a_model_says_with_its_calls_is_a_message_that_they_name_as_their_parent() -> None:
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"}), text="I look."), "fine"])
    done, journal = await run(models, box())
    assert done.output == "fine"
    starts = [event["messageId"] for event in journal.events if event["type"] == "TEXT_MESSAGE_START"]
    assert starts == ["r1:a", "r1:a:1.1.2"]
    assert agui.text(journal.events, "r1:a") == "I look."
    assert agui.text(journal.events, "r1:a:1.1.2") == "fine"
    call = next(event for event in journal.events if event["type"] == "TOOL_CALL_START")
    assert call["parentMessageId"] == "r1:a"
    assert models.requests[1].messages[-2].content == "I look."
    assert not [event for event in journal.events if event.get("name") == "headrace.restarted"]
    legal(journal)


async def test_each_round_is_a_step_with_its_cost_and_together_they_are_the_runs() -> None:
    models = ScriptedModels(
        [wish(("school__grades", {"class_id": "c1"})), wish(("calculator", {"expression": "1+1"})), "x y"]
    )
    _, journal = await run(models, box())
    steps = journal.log.steps
    assert set(steps) == {"node:a", "node:a#1", "node:a#1.0", "node:a#2", "node:a#2.0"}
    assert steps["node:a#1"].usage == steps["node:a#2"].usage == PAID
    assert steps["node:a"].usage == Usage({"big": ModelUsage(1, 0, 10, 2, 0.0)})
    total = sum((step.usage for step in steps.values()), Usage())
    assert (total.total.llm_calls, journal.lost_usage) == (3, Usage())


@pytest.mark.parametrize("crash_at", range(1, 6))
@pytest.mark.parametrize("commits", [True, False])
async def test_who_takes_over_pays_for_no_stored_round_and_makes_no_stored_call_again(crash_at: int, commits: bool) -> None:
    rounds = [wish(("school__grades", {"class_id": "c1"}), ("school__grades", {"class_id": "c2"})), "both are fine"]

    def reply(request: ChatRequest) -> Any:
        return rounds[min(len(shown(request)), 1)]

    models, toolbox = ScriptedModels(otherwise=reply), box()
    first = FakeJournal(claimed({}), crash_at=crash_at, crash_commits=commits)
    if crash_at > 4:
        done, _ = await run(models, toolbox, journal=first)
        assert (len(models.requests), len(toolbox.calls)) == (2, 2)
        return
    with pytest.raises(LeaseLost):
        await run(models, toolbox, journal=first)
    stored = dict(first.log.steps)
    asked, called = len(models.requests), [one.call_id for one in toolbox.calls]
    done, second = await run(models, toolbox, journal=FakeJournal(claimed({}, attempt=2), log=first.log))
    assert done.output == "both are fine"
    again = [one.call_id for one in toolbox.calls[len(called) :]]
    assert again == [f"r1:node:a#1.{n}" for n in range(2) if f"node:a#1.{n}" not in stored and "node:a" not in stored]
    answers_left = [step for step in ("node:a#1", "node:a") if step not in stored]
    assert len(models.requests) - asked == len(answers_left)
    assert set(second.log.steps) == {"node:a", "node:a#1", "node:a#1.0", "node:a#1.1"}
    legal(second)


async def test_an_attempt_that_is_repeated_goes_on_after_the_rounds_that_were_paid() -> None:
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), ProviderUnavailable("gone"), "fine"])
    toolbox = box()
    done, journal = await run(models, toolbox)
    assert done.output == "fine"
    assert (len(models.requests), len(toolbox.calls)) == (3, 1)
    assert shown(models.requests[2]) == shown(models.requests[1]) == ['{"mean":2.5}']
    legal(journal)


async def test_a_round_that_fails_is_the_runs_cost() -> None:
    broken = InvalidAnswer("no", text="x", faults=("/: no",), usage=PAID)
    journal = FakeJournal(claimed({}))
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), broken, broken])
    await fails(models, box(), journal=journal)
    assert journal.log.steps["node:a#1"].usage == PAID
    assert journal.lost_usage.total.llm_calls == 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (("school__grades", {"class_id": 3}), "class_id"),
        (("school__grades", {}), "required"),
        (("school__grades", "{"), "not JSON"),
        (("school__grades", "[1]"), "object"),
        (("telescope", {}), "there are school__grades, calculator"),
        (("calculator", {"expression": "1 +"}), "not an arithmetic expression"),
    ],
)
async def test_a_wrong_call_is_told_to_the_model_which_may_mend_it(call: tuple[str, Any], says: str) -> None:
    models, toolbox = ScriptedModels([wish(call), "sorry"]), box()
    done, journal = await run(models, toolbox)
    assert done.output == "sorry"
    assert not toolbox.calls
    (content,) = shown(models.requests[1])
    assert says in orjson.loads(content)["error"]
    assert told(journal) == [orjson.loads(content)]
    legal(journal)


@pytest.mark.parametrize("reason", ["away", "deadline", "refused", "too_large", "failed"])
async def test_a_tool_that_fails_does_not_fail_the_node(reason: Any) -> None:
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), "no grades today"])
    done, journal = await run(models, box(grades=lambda _: ToolFailed("the school sleeps", reason=reason)))
    assert done.output == "no grades today"
    assert shown(models.requests[1]) == ['{"error":"the school sleeps"}']
    assert told(journal) == [{"error": "the school sleeps"}]


async def test_a_tool_that_never_answers_ends_at_a_tools_own_deadline() -> None:
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), "no grades today"])
    limits = Limits(node_timeout_s={"data": 0.01, "compose": 60.0})
    done, _ = await run(models, box(grades=lambda _: asyncio.Event().wait()), limits=limits)
    assert done.output == "no grades today"
    assert "0.01 s" in shown(models.requests[1])[0]


async def test_calls_of_a_round_run_side_by_side_within_their_limit_and_are_answered_in_their_order() -> None:
    calls = [("school__grades", {"class_id": f"c{n}"}) for n in range(7)]
    models = ScriptedModels([wish(*calls), "done"])
    turn = asyncio.Event()

    async def answer(arguments: Mapping[str, Any]) -> Any:
        if toolbox.running == 3:
            turn.set()
        await turn.wait()
        return arguments["class_id"]

    toolbox = box(grades=answer)
    await run(models, toolbox, limits=Limits(max_parallel_tool_calls=3))
    assert toolbox.most_running == 3
    assert shown(models.requests[1]) == [f"c{n}" for n in range(7)]


async def test_more_calls_at_once_than_allowed_are_refused_one_by_one() -> None:
    calls = [("school__grades", {"class_id": f"c{n}"}) for n in range(3)]
    models, toolbox = ScriptedModels([wish(*calls), "done"]), box()
    await run(models, toolbox, limits=Limits(max_calls_per_round=2))
    assert len(toolbox.calls) == 2
    assert "at most 2 calls" in shown(models.requests[1])[2]


async def test_the_same_call_is_made_twice_and_then_refused_whatever_its_layout() -> None:
    layouts = ['{"class_id": "c1"}', '{"class_id":"c1"}', ' {"class_id" : "c1"}', '{"class_id": "c2"}']
    models = ScriptedModels([*(wish(("school__grades", one)) for one in layouts), "done"])
    toolbox = box()
    await run(models, toolbox)
    assert [one.arguments["class_id"] for one in toolbox.calls] == ["c1", "c1", "c2"]
    assert "2 times" in shown(models.requests[3])[2]


async def test_in_its_last_round_the_model_may_not_call() -> None:
    models = ScriptedModels(
        otherwise=lambda request: "done" if request.options else wish(("calculator", {"expression": "1"}))
    )
    done, _ = await run(models, box(), node={**NODE, "max_iterations": 3})
    assert done.output == "done"
    assert [dict(request.options) for request in models.requests] == [{}, {}, {"tool_choice": "none"}]
    assert all(request.tools for request in models.requests)


async def test_five_rounds_are_allowed_where_a_node_names_none() -> None:
    models = ScriptedModels(
        otherwise=lambda request: "done" if request.options else wish(("calculator", {"expression": "1"}))
    )
    await run(models, box())
    assert len(models.requests) == 5


async def test_a_model_that_only_calls_fails_with_what_to_do() -> None:
    models = ScriptedModels(otherwise=wish(("school__grades", {"class_id": "c1"})))
    failed = await fails(models, box(), node={**NODE, "max_iterations": 2})
    assert failed.failure.code is FailureCode.PROVIDER
    assert "max_iterations" in failed.failure.message


async def test_one_iteration_is_an_answer_without_calls() -> None:
    models = ScriptedModels(["fine"])
    done, _ = await run(models, box(), node={**NODE, "max_iterations": 1})
    assert done.output == "fine"
    assert models.requests[0].options == {"tool_choice": "none"}


async def test_a_large_result_is_cut_for_the_model() -> None:
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), "done"])
    _, journal = await run(models, box(grades=lambda _: "ä" * 600), limits=Limits(max_tool_result_bytes=101))
    (content,) = shown(models.requests[1])
    assert content == "ä" * 50 + "\n… (the first 101 of 1200 bytes)"
    assert told(journal) == ["ä" * 600]


async def test_results_that_do_not_fit_the_prompt_are_left_out_and_said_to_be() -> None:
    calls = [("school__grades", {"class_id": f"c{n}"}) for n in range(3)]
    models = ScriptedModels([wish(*calls), "done"])
    await run(models, box(grades=lambda _: "x" * 400), limits=Limits(max_prompt_bytes=1000))
    assert [len(one) == 400 for one in shown(models.requests[1])] == [True, True, False]
    assert "no room" in shown(models.requests[1])[2]


async def test_a_budget_that_is_spent_ends_the_node() -> None:
    models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), BudgetSpent("spent", retry_after_s=9)])
    assert (await fails(models, box())).failure.code is FailureCode.BUDGET


async def test_a_tool_that_is_gone_fails_the_node_and_names_the_nearest() -> None:
    failed = await fails(ScriptedModels(), box(), node={**NODE, "tools": ["school.grade"]})
    assert failed.failure.code is FailureCode.INVALID_BLUEPRINT
    assert "school.grade " in failed.failure.message
    assert "'school.grades'" in failed.failure.message


async def test_a_text_begun_anew_is_void_and_the_calls_of_the_new_one_are_made() -> None:
    anew = Scripted(
        pieces=("void", "I look."), restarted_at=1, tool_calls=wish(("calculator", {"expression": "2"})).tool_calls
    )
    models = ScriptedModels([anew, "two"])
    done, journal = await run(models, box())
    assert done.output == "two"
    assert models.requests[1].messages[1].content == "I look."
    legal(journal)


class TestJson:
    NODE: Mapping[str, Any] = {**NODE, "schema": SCHEMA}

    async def test_an_answer_that_fits_is_taken_as_it_is(self) -> None:
        models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), '```json\n{"mean": 2.5}\n```'])
        done, journal = await run(models, box(), node=self.NODE)
        assert done.output == {"mean": 2.5}
        assert "JSON Schema" in models.requests[0].messages[0].content
        assert [request.schema for request in models.requests] == [None, None]
        assert not [event for event in journal.events if event["type"].startswith("TEXT")]

    async def test_one_that_does_not_fit_is_mended_once_without_calls(self) -> None:
        models = ScriptedModels(["about 2.5", '{"mean": 2.5}'])
        done, _ = await run(models, box(), node=self.NODE)
        assert done.output == {"mean": 2.5}
        assert (models.requests[1].schema, models.requests[1].options) == (SCHEMA, {"tool_choice": "none"})
        assert "not JSON" in models.requests[1].messages[-1].content

    async def test_one_that_is_still_wrong_fails(self) -> None:
        wrong = InvalidAnswer("no", text="{}", faults=("/mean: is missing",), usage=PAID)
        models = ScriptedModels(["about 2.5", wrong])
        failed = await fails(models, box(), node=self.NODE)
        assert failed.failure.code is FailureCode.PROVIDER
        assert "/mean: is missing" in failed.failure.message
        assert len(models.requests) == 2

    async def test_in_the_last_round_the_schema_is_the_providers_and_mended_once(self) -> None:
        wrong = InvalidAnswer("no", text="{}", faults=("/mean: is missing",), usage=PAID)
        models = ScriptedModels([wish(("school__grades", {"class_id": "c1"})), wrong, '{"mean": 2}'])
        done, _ = await run(models, box(), node={**self.NODE, "max_iterations": 2})
        assert done.output == {"mean": 2}
        assert [request.schema for request in models.requests] == [None, SCHEMA, SCHEMA]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=80), max_size=32, unique=True))
def test_functions_have_names_that_providers_take_and_each_stands_for_one_tool(names: list[str]) -> None:
    entries = [tool(name) for name in names]
    found = wishes.named(entries)
    assert all(1 <= len(name) <= 64 and name.replace("_", "a").replace("-", "a").isalnum() for name in found)
    assert all(name.isascii() for name in found)
    assert list(found.values()) == entries
    assert wishes.named(entries) == found


SEARCHING = {**NODE, "tools": ["search"]}


def two_searches() -> list[Any]:
    return [
        wish(("search", {"query": "weirs", "top_k": 1}), ("search", {"query": "sluices"})),
        wish(("search", {"query": "weirs", "top_k": 1})),
        "see [1]",
    ]


async def test_what_a_models_searches_found_may_be_cited_once_in_the_order_of_its_wishes() -> None:
    models = ScriptedModels(two_searches())
    done, journal = await run(models, box(), node=SEARCHING)
    cited = [(one["document_id"], one["text"]) for one in answers.citations(done)]
    assert cited == [("d0", "about weirs"), ("d0", "about sluices"), ("d1", "about sluices")]
    assert "about weirs" in models.requests[1].messages[-2].content
    legal(journal)


async def test_who_takes_over_cites_what_was_found_before_and_shows_the_model_the_same() -> None:
    models = ScriptedModels(two_searches())
    first = FakeJournal(claimed({}), crash_at=4, crash_commits=True)
    with pytest.raises(LeaseLost):
        await run(models, box(), node=SEARCHING, journal=first)
    asked = models.requests[-1].messages
    done, _ = await run(models, box(), node=SEARCHING, journal=FakeJournal(claimed({}, attempt=2), log=first.log))
    assert len(answers.citations(done)) == 3
    assert models.requests[-1].messages[: len(asked)] == asked


async def test_a_search_that_is_cut_for_the_model_is_cited_whole() -> None:
    models = ScriptedModels([wish(("search", {"query": "weirs"})), "see [1]"])
    done, _ = await run(models, box(), node=SEARCHING, limits=Limits(max_tool_result_bytes=40))
    assert len(answers.citations(done)) == 2


@pytest.mark.parametrize(("inputs", "where"), [({"workspace": "contracts"}, "contracts"), ({"workspace": 7}, ""), ({}, "")])
async def test_a_models_search_looks_where_the_run_does_unless_it_names_a_place(inputs: Any, where: str) -> None:
    wished = wish(("search", {"query": "weirs"}), ("search", {"query": "weirs", "workspace": "other"}))
    rag = FakeRag()
    await run(ScriptedModels([wished, "fine"]), box(), node=SEARCHING, inputs=inputs, rag=rag)
    assert rag.workspaces == [where, "other"]
