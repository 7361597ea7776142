"""Data nodes that call a connector's tool: what it is given, how it fails, when it is called again."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
import pytest
from headrace_blueprint import plan
from headrace_blueprint.model import Blueprint
from headrace_blueprint.tools import Tool
from headrace_executor import events
from headrace_executor.engine.execution import Executed, execute
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.metrics import TOOL_CALLS
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import Limits as ToolLimits
from headrace_tools.model import ToolEntry
from headrace_tools.ports import Toolbox
from headrace_tools.service import ConnectedTools, Served

from tests.support import agui
from tests.support.executor_fakes import NOW, FakeCel, FakeJournal, FakeModels, FakeRag, claimed
from tests.support.toolbox import FakeToolbox, tool

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
NODE = {"id": "a", "kind": "data", "tool": "school.grades", "args": {"id": "${inputs.id}"}}


class Slept(list[float]):
    """A clock that notes how long it was asked to sleep."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def box(*results: Any, schema: Mapping[str, Any] = SCHEMA) -> FakeToolbox:
    """Answers with each in turn."""
    left = list(results)
    return FakeToolbox([tool("school.grades", schema)], {"school.grades": lambda _: left.pop(0)})


class School:
    """A connector of a server that sends its own schemas."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._tools = {"grades": ToolEntry(Tool("school.grades", "Grades.", schema), "mcp", "school")}
        self.calls = 0

    def tools(self) -> Mapping[str, ToolEntry]:
        return self._tools

    async def call(self, tool: str, arguments: Mapping[str, Any], *, deadline_s: float, call_id: str = "") -> Any:
        self.calls += 1
        return {}


async def run(
    toolbox: Toolbox, *, node: Mapping[str, Any] = NODE, given: Any = 3, slept: Slept | None = None, **changes: Any
) -> tuple[Executed, FakeJournal]:
    journal = FakeJournal(claimed({}, **changes))
    sleep = Slept() if slept is None else slept
    parts = Parts(FakeRag(), FakeModels(), FakeCel(), lambda: NOW, Limits(), sleep, toolbox)
    document = {"version": 1, "name": "test", "nodes": [node], "output": "${nodes.a.output}"}
    compiled = plan.compile_plan(Blueprint.model_validate(document))
    return await execute(journal, compiled, inputs={"id": given}, parts=parts), journal


async def fails(toolbox: Toolbox, **given: Any) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        await run(toolbox, **given)
    assert "Node 'a'" in caught.value.failure.message
    return caught.value


async def test_a_connectors_tool_is_called_for_the_tenant_and_its_result_is_the_output() -> None:
    toolbox = box({"mean": 2})
    done, journal = await run(toolbox)
    assert done.output == {"mean": 2}
    (called,) = toolbox.calls
    assert (called.tenant_id, called.name, called.arguments, called.call_id) == (
        "t1",
        "school.grades",
        {"id": 3},
        "r1:node:a",
    )
    kinds = [event["type"] for event in journal.events if event["type"].startswith("TOOL")]
    assert kinds == ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"]
    agui.check(journal.finish(events.run_error("internal", "the test is over")))


@pytest.mark.parametrize(
    ("timeout_s", "left", "expected_s"), [(7.0, 60, 7.0), (None, 60, 30.0), (7.0, 2, 2.0)], ids=["own", "kind's", "run's"]
)
async def test_a_call_may_take_what_is_left_of_its_attempt_and_of_its_run(
    timeout_s: float | None, left: int, expected_s: float
) -> None:
    toolbox = box({})
    node = {**NODE, "timeout_s": timeout_s} if timeout_s else NODE
    await run(toolbox, node=node, deadline=NOW + timedelta(seconds=left))
    assert expected_s - 1 < toolbox.calls[0].deadline_s <= expected_s


async def test_a_call_that_fails_has_its_error_for_result() -> None:
    asleep = ToolFailed("the service is asleep", reason="away")
    _, journal = await run(box(asleep), node={**NODE, "on_error": "continue"})
    agui.check(journal.finish(events.run_error("tool", "it failed")))
    (result,) = [event for event in journal.events if event["type"] == "TOOL_CALL_RESULT"]
    assert orjson.loads(result["content"]) == {"error": "the service is asleep"}


async def test_arguments_that_are_not_the_tools_fail_before_it_is_called() -> None:
    toolbox = box({})
    failed = await fails(toolbox, given="three")
    assert failed.failure.code is FailureCode.INVALID_BLUEPRINT
    assert "the tool school.grades" in failed.failure.message
    assert "$.id" in failed.failure.message
    assert not toolbox.calls


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"id": {"$ref": "http://127.0.0.1:9/schema"}}},
        {"properties": {"id": {"type": "telescope"}}},
        {"properties": 3},
        {"required": 3},
    ],
)
async def test_a_schema_that_is_none_is_the_tools_fault_and_nothing_is_fetched(schema: Mapping[str, Any]) -> None:
    failed = await fails(box({}, schema=schema))
    assert failed.failure.code is FailureCode.TOOL
    assert "schema" in failed.failure.message


async def test_arguments_are_held_against_the_schema_that_the_tool_has_at_the_time() -> None:
    await run(box({}))
    failed = await fails(box({}, schema={**SCHEMA, "properties": {"id": {"type": "string"}}}))
    assert "$.id: 3 is not of type 'string'" in failed.failure.message
    await run(box({}))


ENDLESS = {"type": "object", "properties": {"id": {"pattern": "^(a+)+$"}}, "patternProperties": {"^(i+)+$": {}}}
UNIQUE = {"type": "object", "properties": {"id": {"type": "array", "uniqueItems": True}}}
ALTERNATIVES = {"type": "object", "properties": {"id": {"items": {"allOf": [{"anyOf": [{}] * 50}] * 20}}}}


@pytest.mark.parametrize(
    ("schema", "given", "outcome"),
    [
        (ENDLESS, "a" * 60 + "!", ""),
        (UNIQUE, [{"n": n} for n in range(40_000)], ""),
        (UNIQUE, [*({"n": n} for n in range(40_000)), {"n": 7}], "has an item twice"),
        (ALTERNATIVES, [1] * 300_000, "steps to check"),
    ],
    ids=["pattern", "unique", "not unique", "alternatives"],
)
async def test_a_strangers_schema_and_any_arguments_are_so_much_work(
    schema: Mapping[str, Any], given: Any, outcome: str
) -> None:
    """Each would take minutes, or the age of the world, by the library's own checks."""
    school = School(schema)
    served = Served("school", "school", school, 60.0, asyncio.Semaphore(1))
    toolbox = ConnectedTools({"": {"school": served}}, {}, limits=ToolLimits())
    if outcome:
        assert outcome in (await fails(toolbox, given=given)).failure.message
    else:
        await run(toolbox, given=given)
    assert school.calls == (0 if outcome else 1)


@pytest.mark.parametrize(
    ("reason", "code", "says"),
    [
        ("invalid", FailureCode.INVALID_BLUEPRINT, "arguments"),
        ("refused", FailureCode.TOOL, "tools.yaml"),
        ("away", FailureCode.TOOL, "retry"),
        ("deadline", FailureCode.DEADLINE, "timeout_s"),
        ("too_large", FailureCode.TOOL, "Ask for less"),
        ("failed", FailureCode.TOOL, "called with"),
    ],
)
async def test_a_failure_names_the_tool_the_cause_and_what_to_do(reason: Any, code: FailureCode, says: str) -> None:
    before = TOOL_CALLS.labels("http", reason)._value.get()
    failed = await fails(box(ToolFailed("the school says no", reason=reason, retry_after_s=4)))
    assert failed.failure.code is code
    for part in ("the tool school.grades", "the school says no", says):
        assert part in failed.failure.message
    assert failed.failure.retry_after_s == 4
    assert TOOL_CALLS.labels("http", reason)._value.get() == before + 1


RETRY = {**NODE, "retry": {"attempts": 3, "backoff_s": 1}}


@pytest.mark.parametrize("reason", ["away", "deadline"])
async def test_a_failure_that_may_pass_is_tried_again_as_the_policy_says(reason: Any) -> None:
    toolbox, slept = box(*[ToolFailed("not now", reason=reason)] * 2, {"mean": 2}), Slept()
    done, _ = await run(toolbox, node=RETRY, slept=slept)
    assert done.output == {"mean": 2}
    first, second = slept
    assert 0 < first <= 1 <= second <= 2
    assert {one.call_id for one in toolbox.calls} == {"r1:node:a"}


@pytest.mark.parametrize("reason", ["invalid", "refused", "too_large", "failed"])
async def test_one_that_cannot_pass_is_not(reason: Any) -> None:
    toolbox = box(ToolFailed("never", reason=reason), {})
    await fails(toolbox, node=RETRY)
    assert len(toolbox.calls) == 1


async def test_without_a_policy_nothing_is_tried_again() -> None:
    toolbox = box(ToolFailed("not now", reason="away"), {})
    await fails(toolbox)
    assert len(toolbox.calls) == 1


async def test_a_tool_is_left_alone_for_as_long_as_it_asks() -> None:
    slept = Slept()
    await run(box(ToolFailed("busy", reason="away", retry_after_s=9), {}), node=RETRY, slept=slept)
    (waited,) = slept
    assert waited >= 9


async def test_one_that_asks_for_longer_than_an_attempt_may_take_fails_at_once_and_says_when() -> None:
    slept = Slept()
    failed = await fails(box(ToolFailed("busy", reason="away", retry_after_s=900), {}), node=RETRY, slept=slept)
    assert not slept
    assert failed.failure.retry_after_s == 900
    assert "in 900 s" in failed.failure.message


async def test_an_unknown_tool_is_refused_with_the_nearest_one() -> None:
    failed = await fails(box(), node={**NODE, "tool": "school.grade"})
    assert "'school.grades'" in failed.failure.message


async def test_a_large_result_is_shown_by_its_beginning() -> None:
    done, journal = await run(box("x" * 100_000))
    assert len(done.output) == 100_000
    (result,) = [event for event in journal.events if event["type"] == "TOOL_CALL_RESULT"]
    assert orjson.loads(result["content"])["truncated"] is True
