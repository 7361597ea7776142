"""Each kind of node through the runner: what readers see, what is recorded, how it fails."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson
import pytest
from headrace_blueprint import plan
from headrace_blueprint.model import Blueprint
from headrace_executor import events
from headrace_executor.engine.execution import Executed, execute
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode
from headrace_llm.client import Completion, Restarted, Wait
from headrace_llm.errors import BudgetSpent, GateRefused, InvalidAnswer, ProviderAuth, ProviderRejected, ProviderUnavailable
from headrace_llm.usage import ModelUsage, Usage
from headrace_runtime import errors

from tests.support import agui
from tests.support.executor_fakes import NOW, PAID, FakeCel, FakeJournal, FakeModels, FakeRag, answer, claimed, no_sleep
from tests.support.models import Scripted, ScriptedModels
from tests.unit.headrace_llm.chain import World
from tests.unit.headrace_llm.fakes import answer as model_says


def blueprint(*nodes: Mapping[str, Any], output: str = "${nodes.a.output}", layout: Any = None) -> Blueprint:
    document = {"version": 1, "name": "test", "nodes": list(nodes), "output": output}
    return Blueprint.model_validate({**document, "layout": layout} if layout else document)


async def run(
    *nodes: Mapping[str, Any],
    inputs: Mapping[str, Any] | None = None,
    models: Any = None,
    rag: Any = None,
    cel: Any = None,
    journal: FakeJournal | None = None,
    limits: Limits | None = None,
    layout: Any = None,
    output: str = "${nodes.a.output}",
) -> tuple[Executed, FakeJournal]:
    journal = journal or FakeJournal(claimed({}))
    parts = Parts(rag or FakeRag(), models or FakeModels(), cel or FakeCel(), lambda: NOW, limits or Limits(), no_sleep)
    compiled = plan.compile_plan(blueprint(*nodes, output=output, layout=layout))
    executed = await execute(journal, compiled, inputs=inputs or {}, parts=parts)
    journal.flush()
    return executed, journal


def of_type(journal: FakeJournal, *kinds: str) -> list[Mapping[str, Any]]:
    return [event for event in journal.events if event["type"] in kinds]


def texts(journal: FakeJournal) -> list[Mapping[str, Any]]:
    """Events of text messages and of their new beginnings."""
    told = of_type(journal, "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "CUSTOM")
    return [event for event in told if event["type"] != "CUSTOM" or event["name"] == "headrace.restarted"]


class Restarting(FakeModels):
    """Streams what it is made of; an error among it is raised."""

    def __init__(self, *items: str | Restarted | Exception) -> None:
        super().__init__()
        self.items = items

    async def stream(self, request: Any) -> Any:
        self.requests.append(request)
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item
        request.on_cost(PAID)
        yield Completion("", "fake", PAID)


class Queueing(FakeModels):
    """Tells each call that it waits, then answers."""

    def __init__(self, *waits: Wait, say: Callable[[str], str] = answer) -> None:
        super().__init__(say)
        self.waits = waits

    def tell(self, request: Any) -> None:
        for wait in self.waits:
            request.on_wait(wait)

    async def complete(self, request: Any) -> Completion:
        self.tell(request)
        return await super().complete(request)

    async def stream(self, request: Any) -> Any:
        self.tell(request)
        async for item in super().stream(request):
            yield item


def queued(journal: FakeJournal) -> list[Any]:
    return [event["value"] for event in of_type(journal, "CUSTOM") if event["name"] == "headrace.queued"]


async def fails(*nodes: Mapping[str, Any], **given: Any) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        await run(*nodes, **given)
    assert "Node 'a'" in caught.value.failure.message
    return caught.value


COMPOSE = {"id": "a", "kind": "compose", "prompt": "Say ${inputs.x}."}


class TestCompose:
    async def test_streams_the_answer_and_records_it_with_its_cost(self) -> None:
        done, journal = await run(COMPOSE, inputs={"x": "hi"})
        assert done.output == answer("Say hi.")
        texts = of_type(journal, "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END")
        assert {event["messageId"] for event in texts} == {"r1:a"}
        assert "".join(event.get("delta", "") for event in texts) == done.output
        assert journal.log.steps["node:a"].usage == PAID

    @pytest.mark.parametrize("schema", [None, {"type": "object"}], ids=["a text", "json"])
    async def test_readers_hear_that_the_step_waits_for_the_quota(self, schema: Any) -> None:
        models = Queueing(Wait(7, 5.0, 1.0), Wait(4, 3.21, 3.0), say=lambda _: "{}")
        _, journal = await run({**COMPOSE, "schema": schema} if schema else COMPOSE, inputs={"x": 1}, models=models)
        assert queued(journal) == [{"position": 4, "expected_wait_s": 3.2, "limited_by": "quota", "step": "node:a"}]
        agui.check(journal.finish(events.run_error("internal", "the test is over")))

    async def test_a_wait_shorter_than_a_notice_is_not_told(self) -> None:
        models = Queueing(Wait(1, 1.0, 3.0))
        _, journal = await run(COMPOSE, inputs={"x": 1}, models=models, limits=Limits(notice_s=4.0))
        assert not queued(journal)

    async def test_a_lone_reference_to_an_object_is_its_json_in_the_prompt(self) -> None:
        models = FakeModels()
        await run({**COMPOSE, "prompt": "${inputs.x}"}, inputs={"x": {"n": 1}}, models=models)
        assert models.requests[0].messages[0].content == '{"n":1}'

    async def test_a_later_owner_uses_another_message_id(self) -> None:
        _, journal = await run(COMPOSE, inputs={"x": 1}, journal=FakeJournal(claimed({}, attempt=3)))
        assert of_type(journal, "TEXT_MESSAGE_START")[0]["messageId"] == "r1:a:3"

    async def test_text_that_broke_off_is_closed_and_begun_anew_under_another_id(self) -> None:
        models = FakeModels(failures=[ProviderUnavailable("gone")], pieces_before=2)
        done, journal = await run(COMPOSE, inputs={"x": "hi"}, models=models)
        kinds = [event["type"] for event in journal.events]
        first_end = kinds.index("TEXT_MESSAGE_END")
        assert journal.events[first_end + 1]["value"] == {"step": "node:a", "message_id": "r1:a"}
        starts = [event["messageId"] for event in of_type(journal, "TEXT_MESSAGE_START")]
        assert starts == ["r1:a", "r1:a:1.2"]
        assert done.output == answer("Say hi.")

    async def test_the_model_may_be_an_input(self) -> None:
        models = FakeModels()
        node = {"id": "a", "kind": "compose", "prompt": "x", "model": "${inputs.model}"}
        await run(node, inputs={"model": "large"}, models=models)
        assert [request.model for request in models.requests] == ["large"]

    async def test_text_that_a_model_began_anew_is_closed_said_to_be_void_and_goes_on_under_another_id(self) -> None:
        models = Restarting("void ", Restarted("b"), "void too", Restarted("c"), "all of it")
        done, journal = await run(COMPOSE, inputs={"x": "hi"}, models=models)
        assert done.output == "all of it"
        assert [(event["type"], event.get("messageId") or event["value"]["message_id"]) for event in texts(journal)] == [
            *[("TEXT_MESSAGE_START", "r1:a"), ("TEXT_MESSAGE_CONTENT", "r1:a"), ("TEXT_MESSAGE_END", "r1:a")],
            ("CUSTOM", "r1:a"),
            *[(f"TEXT_MESSAGE_{part}", "r1:a:1.1.2") for part in ("START", "CONTENT", "END")],
            ("CUSTOM", "r1:a:1.1.2"),
            *[(f"TEXT_MESSAGE_{part}", "r1:a:1.1.3") for part in ("START", "CONTENT", "END")],
        ]
        assert [event["delta"] for event in texts(journal) if "delta" in event] == ["void ", "void too", "all of it"]
        assert journal.log.steps["node:a"].usage == PAID

    async def test_a_model_that_breaks_off_is_continued_by_its_fallback_under_another_id_and_both_are_paid(self) -> None:
        chain = World(["half an", ProviderUnavailable("cut")], ["a whole answer", model_says("a whole answer")])
        done, journal = await run({**COMPOSE, "model": "a"}, inputs={"x": "hi"}, models=chain.models)
        assert done.output == "a whole answer"
        said = {event["messageId"]: event["delta"] for event in texts(journal) if "delta" in event}
        assert said == {"r1:a": "half an", "r1:a:1.1.2": "a whole answer"}
        assert chain.called == ["a", "b"]
        assert set(journal.log.steps["node:a"].usage.models) == {"a", "b"}

    async def test_a_void_half_does_not_count_against_the_limit_of_the_answer(self) -> None:
        models = Restarting("x" * 900, Restarted("b"), "y" * 900)
        done, _ = await run(COMPOSE, inputs={"x": 1}, models=models, limits=Limits(max_output_bytes=1000))
        assert done.output == "y" * 900

    async def test_a_failure_after_a_new_beginning_closes_the_message_that_is_open(self) -> None:
        journal = FakeJournal(claimed({}))
        models = Restarting("void", Restarted("b"), "half", ProviderAuth("wrong key"))
        await fails(COMPOSE, inputs={"x": 1}, models=models, journal=journal)
        ends = [event["messageId"] for event in of_type(journal, "TEXT_MESSAGE_END")]
        assert ends == ["r1:a", "r1:a:1.1.2"]

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (GateRefused("full", retry_after_s=7), FailureCode.QUOTA),
            (BudgetSpent("the budget is spent", retry_after_s=7), FailureCode.BUDGET),
            (BudgetSpent("in a moment", reason=BudgetSpent.IN_FLIGHT, retry_after_s=5), FailureCode.QUOTA),
            (ProviderAuth("wrong key"), FailureCode.PROVIDER),
            (errors.DeadlineExceeded("late"), FailureCode.DEADLINE),
        ],
    )
    async def test_what_cannot_pass_fails_at_once_with_its_code(self, error: Exception, code: FailureCode) -> None:
        models = FakeModels(failures=[error])
        failed = await fails(COMPOSE, inputs={"x": 1}, models=models)
        assert failed.failure.code is code
        assert len(models.requests) == 1

    async def test_the_quota_says_when_to_come_back(self) -> None:
        failed = await fails(COMPOSE, inputs={"x": 1}, models=FakeModels(failures=[GateRefused("full", retry_after_s=7)]))
        assert "in 7 s" in failed.failure.message

    async def test_an_answer_beyond_the_limit_fails_and_aborts_the_call(self) -> None:
        models = FakeModels(say=lambda _: "x" * 5000, piece=100)
        failed = await fails(COMPOSE, inputs={"x": 1}, models=models, limits=Limits(max_output_bytes=1000))
        assert "1000 bytes" in failed.failure.message
        assert models.aborted == 1

    async def test_a_schema_gives_json_and_no_text_message(self) -> None:
        models = FakeModels(say=lambda _: '{"n": 3}')
        done, journal = await run({**COMPOSE, "schema": {"type": "object"}}, inputs={"x": 1}, models=models)
        assert done.output == {"n": 3}
        assert not of_type(journal, "TEXT_MESSAGE_START")

    async def test_json_that_does_not_fit_is_repaired_once_and_both_calls_are_paid(self) -> None:
        wrong = InvalidAnswer("wrong", text='{"n":"x"}', faults=("/n: not a number",), usage=PAID)
        models = FakeModels(say=lambda _: '{"n": 3}', failures=[wrong])
        done, journal = await run({**COMPOSE, "schema": {"type": "object"}}, inputs={"x": 1}, models=models)
        assert done.output == {"n": 3}
        assert "/n: not a number" in models.requests[1].messages[-1].content
        assert journal.log.steps["node:a"].usage == PAID + PAID

    async def test_json_that_still_does_not_fit_fails(self) -> None:
        wrong = [InvalidAnswer("wrong", text="{}", faults=("/n: is missing",), usage=PAID) for _ in range(2)]
        journal = FakeJournal(claimed({}))
        failed = await fails(
            {**COMPOSE, "schema": {"type": "object"}},
            inputs={"x": 1},
            models=FakeModels(failures=[*wrong]),
            journal=journal,
        )
        assert journal.lost_usage == PAID + PAID
        assert failed.failure.code is FailureCode.PROVIDER
        assert "/n: is missing" in failed.failure.message

    async def test_what_a_failed_answer_has_cost_is_the_runs(self) -> None:
        chain = World(["half", ProviderUnavailable("cut")], ["ha", ProviderRejected("no")])
        journal = FakeJournal(claimed({}))
        await fails({**COMPOSE, "model": "a"}, inputs={"x": "hi"}, models=chain.models, journal=journal)
        assert {name: one.completion_tokens for name, one in journal.lost_usage.models.items()} == {"a": 1, "b": 1}

    async def test_what_an_answer_beyond_the_limit_has_cost_is_the_runs(self) -> None:
        for limits in (Limits(max_output_bytes=10), Limits(max_output_bytes=100, max_run_bytes=10)):
            journal, models = FakeJournal(claimed({})), ScriptedModels(["one two three"])
            await fails(COMPOSE, inputs={"x": 1}, models=models, journal=journal, limits=limits)
            assert journal.lost_usage.total.llm_calls == 1

    async def test_what_a_cancelled_answer_has_cost_is_the_runs(self) -> None:
        journal = FakeJournal(claimed({}))
        models = ScriptedModels([Scripted(("a", "b"), gate=asyncio.Event())])
        running = asyncio.create_task(run(COMPOSE, inputs={"x": 1}, models=models, journal=journal))
        while not of_type(journal, "TEXT_MESSAGE_CONTENT"):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert journal.lost_usage == Usage({"big": ModelUsage(1, 0, 10, 1)})

    async def test_a_timeout_fails_with_the_deadline_and_what_to_do(self) -> None:
        class Silent(FakeModels):
            async def stream(self, request: Any) -> Any:
                await asyncio.Event().wait()
                yield ""

        failed = await fails({**COMPOSE, "timeout_s": 0.01}, inputs={"x": 1}, models=Silent())
        assert failed.failure.code is FailureCode.DEADLINE
        assert "timeout_s" in failed.failure.message


class TestRetrieve:
    NODE: ClassVar[Mapping[str, Any]] = {"id": "a", "kind": "retrieve", "query": "mills of ${inputs.x}", "top_k": 2}

    async def test_gives_chunks_and_numbered_passages(self) -> None:
        done, _ = await run(self.NODE, inputs={"x": "Ulm"})
        assert [chunk["document_id"] for chunk in done.output["chunks"]] == ["d0", "d1"]
        assert done.output["text"] == "[1] Title 0\nabout mills of Ulm\n\n[2] Title 1\nabout mills of Ulm"

    async def test_an_absent_service_only_delays_it(self) -> None:
        rag = FakeRag(failures=[errors.Unavailable("down"), errors.Aborted("busy", retry_after_s=1)])
        done, _ = await run(self.NODE, inputs={"x": "Ulm"}, rag=rag)
        assert len(done.output["chunks"]) == 2

    async def test_nothing_found_tells_the_prompt_so(self) -> None:
        done, _ = await run({**self.NODE, "id": "s"}, COMPOSE | {"prompt": "${nodes.s.output.text}"}, inputs={"x": 1})
        assert "Title 0" in done.outputs["s"]["text"]

    async def test_an_empty_query_is_the_blueprints_fault(self) -> None:
        failed = await fails({**self.NODE, "query": "${inputs.x}"}, inputs={"x": " "})
        assert failed.failure.code is FailureCode.INVALID_BLUEPRINT


class TestData:
    async def test_shows_the_call_and_its_result(self) -> None:
        node = {"id": "a", "kind": "data", "tool": "calculator", "args": {"expression": "${inputs.x} * 2"}}
        done, journal = await run(node, inputs={"x": 21})
        assert done.output == {"value": 42, "text": "42"}
        calls = [event for event in journal.events if event["type"].startswith("TOOL_CALL")]
        assert [event["type"].removeprefix("TOOL_CALL_") for event in calls] == ["START", "ARGS", "END", "RESULT"]
        assert {event["toolCallId"] for event in calls} == {"r1:a"}
        assert orjson.loads(calls[1]["delta"]) == {"expression": "21 * 2"}
        assert orjson.loads(calls[3]["content"]) == done.output

    async def test_tells_the_time_of_the_injected_clock(self) -> None:
        done, _ = await run({"id": "a", "kind": "data", "tool": "time", "args": {"timezone": "Asia/Shanghai"}})
        assert done.output["time"] == "2026-01-02T11:04:05+08:00"

    async def test_searches(self) -> None:
        done, _ = await run({"id": "a", "kind": "data", "tool": "search", "args": {"query": "x", "top_k": 1}})
        assert len(done.output["chunks"]) == 1

    @pytest.mark.parametrize("args", [{}, {"expression": 3}, {"expression": "1", "more": 1}, {"expression": "${inputs.x}"}])
    async def test_arguments_that_do_not_fit_the_schema_fail_before_the_call(self, args: Mapping[str, Any]) -> None:
        journal = FakeJournal(claimed({}))
        node = {"id": "a", "kind": "data", "tool": "calculator", "args": args}
        failed = await fails(node, inputs={"x": 5}, journal=journal)
        assert failed.failure.code is FailureCode.INVALID_BLUEPRINT
        assert not of_type(journal, "TOOL_CALL_START")

    async def test_a_tool_without_a_result_fails_with_its_words(self) -> None:
        failed = await fails({"id": "a", "kind": "data", "tool": "calculator", "args": {"expression": "9**9**9"}})
        assert "larger than" in failed.failure.message


class TestCompute:
    async def test_sees_inputs_and_outputs(self) -> None:
        done, _ = await run(
            {"id": "b", "kind": "compute", "expr": "inputs.n + 1"},
            {"id": "a", "kind": "compute", "expr": "nodes.b.output * 2"},
            inputs={"n": 2},
        )
        assert done.output == 6

    async def test_a_failed_expression_says_why(self) -> None:
        failed = await fails({"id": "a", "kind": "compute", "expr": "inputs.n / 0"}, inputs={"n": 1})
        assert failed.failure.code is FailureCode.INVALID_BLUEPRINT

    @pytest.mark.parametrize("expr", ["[1, 2].all(a, a > 0)", "size(inputs.big) > 0"])
    async def test_loops_and_large_values_go_to_a_worker(self, expr: str) -> None:
        cel = FakeCel()
        done, _ = await run({"id": "a", "kind": "compute", "expr": expr}, inputs={"big": "x" * 20_000}, cel=cel)
        assert done.output is True
        assert cel.asked == [expr]


class TestEveryNode:
    async def test_a_false_condition_skips_it_and_its_dependents_see_null(self) -> None:
        done, journal = await run(
            {"id": "b", "kind": "compute", "expr": "1", "when": "inputs.n > 10"},
            {"id": "a", "kind": "compute", "expr": "nodes.b.output == null"},
            inputs={"n": 2},
        )
        assert done.output is True
        assert journal.log.steps["node:b"].output is None
        assert {"step": "node:b"} in [event["value"] for event in of_type(journal, "CUSTOM")]

    async def test_a_condition_that_is_no_truth_fails(self) -> None:
        failed = await fails({"id": "a", "kind": "compute", "expr": "1", "when": "inputs.n"}, inputs={"n": 2})
        assert "neither true nor false" in failed.failure.message

    async def test_a_retry_policy_is_kept_and_every_attempt_is_paid(self) -> None:
        models = FakeModels(failures=[errors.DeadlineExceeded("late"), GateRefused("full", retry_after_s=1)])
        node = COMPOSE | {"retry": {"attempts": 3, "backoff_s": 0.5}}
        done, journal = await run(node, inputs={"x": 1}, models=models)
        assert done.output == answer("Say 1.")
        assert len(models.requests) == 3
        ids = [event["messageId"] for event in of_type(journal, "TEXT_MESSAGE_START")]
        assert ids == ["r1:a", "r1:a:1.2", "r1:a:1.3"]

    async def test_an_output_beyond_the_limit_fails(self) -> None:
        failed = await fails(
            {"id": "a", "kind": "compute", "expr": "inputs.x"}, inputs={"x": "x" * 300}, limits=Limits(max_output_bytes=200)
        )
        assert "200 are allowed" in failed.failure.message

    async def test_outputs_together_beyond_the_limit_fail(self) -> None:
        nodes = [{"id": name, "kind": "compute", "expr": "inputs.x"} for name in "abc"]
        with pytest.raises(RunFailed, match="together"):
            await run(*nodes, inputs={"x": "x" * 100}, limits=Limits(max_run_bytes=250))

    async def test_slots_are_filled_as_their_nodes_finish(self) -> None:
        layout = [{"slot": "one", "title": "One", "node": "a"}, {"slot": "two", "title": "Two", "node": "b"}]
        _, journal = await run(
            {"id": "a", "kind": "compute", "expr": "1"},
            {"id": "b", "kind": "compute", "expr": "inputs.x"},
            inputs={"x": "y" * 5000},
            layout=layout,
            limits=Limits(max_event_bytes=3000),
        )
        assert of_type(journal, "STATE_SNAPSHOT")[0]["snapshot"]["page"] == {"slots": {}}
        patches = [patch for event in of_type(journal, "STATE_DELTA") for patch in event["delta"]]
        assert patches[0] == {"op": "add", "path": "/page/slots/one", "value": 1}
        assert patches[1]["value"]["truncated"] is True
        assert patches[1]["value"]["bytes"] == 5002

    async def test_a_resumed_snapshot_has_the_slots_that_are_filled(self) -> None:
        layout = [{"slot": "one", "title": "One", "node": "a"}]
        node = {"id": "a", "kind": "compute", "expr": "1"}
        _, first = await run(node, layout=layout)
        _, second = await run(node, layout=layout, journal=FakeJournal(claimed({}, attempt=2), log=first.log))
        assert of_type(second, "STATE_SNAPSHOT")[-1]["snapshot"]["page"] == {"slots": {"one": 1}}

    async def test_a_missing_reference_names_itself(self) -> None:
        failed = await fails(COMPOSE | {"prompt": "${inputs.nope}"})
        assert "nope" in failed.failure.message

    async def test_a_fault_of_ours_fails_the_run_and_names_the_node(self) -> None:
        failed = await fails(COMPOSE, inputs={"x": 1}, models=FakeModels(failures=[ZeroDivisionError("bug")]))
        assert failed.failure.code is FailureCode.INTERNAL
        assert "bug" not in failed.failure.message
