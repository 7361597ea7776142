"""Whose tools those are, and how a call ends."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from headrace_blueprint.tools import Tool
from headrace_tools import schemas, service
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import Limits
from headrace_tools.model import EntitySource, Json, ToolEntry
from headrace_tools.ports import NoTools
from headrace_tools.service import ConnectedTools, Served
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import REGISTRY

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}


class Answers:
    """A connector whose tools answer with its own name."""

    def __init__(self, name: str, answer: str, *tools: str) -> None:
        self._name = name
        self._answer = answer
        self.have(*tools)

    def have(self, *tools: str, schema: Mapping[str, Any] = SCHEMA) -> None:
        self._tools = {one: ToolEntry(Tool(f"{self._name}.{one}", "A tool.", schema), "http", self._name) for one in tools}

    def tools(self) -> Mapping[str, ToolEntry]:
        return self._tools

    async def call(self, tool: str, arguments: Mapping[str, Json], *, deadline_s: float, call_id: str = "") -> Json:
        if tool == "forever":
            await asyncio.Event().wait()
        if tool == "odd":
            raise ToolFailed("it is odd", reason="failed", retry_after_s=3)
        return [self._answer, deadline_s > 0]


def served(connector: Answers, name: str, scope: str = "", timeout_s: float = 10) -> Served:
    return Served(name, f"{scope}/{name}", connector, timeout_s, asyncio.Semaphore(2))


def entity(kind: str, tool: str) -> EntitySource:
    return EntitySource(kind, tool, {}, "", "id", ("name",))


def opened(connectors: Any, entities: Any = None) -> ConnectedTools:
    return ConnectedTools(connectors, entities or {}, limits=Limits())


async def test_a_tenant_sees_everybodys_tools_and_its_own_which_win() -> None:
    common = {"a": served(Answers("a", "everybody", "x", "y"), "a"), "b": served(Answers("b", "everybody", "x"), "b")}
    own = {"a": served(Answers("a", "acme", "z"), "a", "acme"), "c": served(Answers("c", "acme", "x"), "c", "acme")}
    toolbox = opened({"": common, "acme": own})
    assert set(toolbox.tools("acme")) == {"a.z", "b.x", "c.x"}
    assert set(toolbox.tools("other")) == set(toolbox.tools("")) == {"a.x", "a.y", "b.x"}
    assert await toolbox.call("acme", "a.z", {}, deadline_s=1) == ["acme", True]
    assert await toolbox.call("other", "a.x", {}, deadline_s=1) == ["everybody", True]
    for tenant, name in (("other", "a.z"), ("other", "c.x"), ("", "c.x"), ("acme", "a.x")):
        with pytest.raises(ToolFailed) as raised:
            await toolbox.call(tenant, name, {}, deadline_s=1)
        assert raised.value.reason == "invalid"


async def test_a_tenants_entities_win_over_everybodys() -> None:
    entities = {"": {"k": entity("k", "a.x"), "l": entity("l", "a.x")}, "acme": {"k": entity("k", "b.x")}}
    toolbox = opened({}, entities)
    assert {(one.kind, one.tool) for one in toolbox.entities("acme")} == {("k", "b.x"), ("l", "a.x")}
    assert {(one.kind, one.tool) for one in toolbox.entities("other")} == {("k", "a.x"), ("l", "a.x")}


async def test_a_name_that_is_no_tool_is_answered_with_the_nearest() -> None:
    toolbox = opened({"": {"school": served(Answers("school", "s", "grades"), "school")}})
    for name in ("school.grade", "schol.grades"):
        with pytest.raises(ToolFailed, match=r"did you mean .*grades\?"):
            await toolbox.call("t", name, {}, deadline_s=1)


async def test_a_connector_that_has_no_tools_yet_is_away() -> None:
    toolbox = opened({"": {"m": served(Answers("m", "m"), "m")}})
    with pytest.raises(ToolFailed, match="not been reached") as raised:
        await toolbox.call("t", "m.x", {}, deadline_s=1)
    assert raised.value.passes


@pytest.mark.parametrize(("timeout_s", "deadline_s"), [(0.01, 60), (60, 0.01)])
async def test_the_shorter_of_deadline_and_timeout_holds(timeout_s: float, deadline_s: float) -> None:
    toolbox = opened({"": {"a": served(Answers("a", "a", "forever"), "a", timeout_s=timeout_s)}})
    with pytest.raises(ToolFailed, match=r"0\.01 seconds") as raised:
        await toolbox.call("t", "a.forever", {}, deadline_s=deadline_s)
    assert raised.value.reason == "deadline"


async def test_a_failure_names_the_tool_and_keeps_its_reason() -> None:
    toolbox = opened({"": {"a": served(Answers("a", "a", "odd"), "a")}})
    with pytest.raises(ToolFailed, match=r"^a\.odd: it is odd$") as raised:
        await toolbox.call("t", "a.odd", {}, deadline_s=1)
    assert (raised.value.reason, raised.value.retry_after_s) == ("failed", 3)


async def test_arguments_are_checked_against_the_schema_that_holds_now() -> None:
    connector = Answers("a", "a", "x")
    toolbox = opened({"": {"a": served(connector, "a")}})
    await toolbox.call("t", "a.x", {"n": 1}, deadline_s=1)
    with pytest.raises(ToolFailed, match="not of type 'integer'"):
        await toolbox.call("t", "a.x", {"n": "1"}, deadline_s=1)
    connector.have("x", schema={**SCHEMA, "properties": {"n": {"type": "string"}}})
    await toolbox.call("t", "a.x", {"n": "1"}, deadline_s=1)
    with pytest.raises(ToolFailed, match="not of type 'string'"):
        await toolbox.call("t", "a.x", {"n": 1}, deadline_s=1)


async def test_arguments_that_take_long_to_check_do_not_keep_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, with the same outcome; what has no end is refused."""
    monkeypatch.setattr(schemas, "MAX_CHECK_STEPS", 200_000)
    either = [*[{"type": "string", "maxLength": 1}] * 100, {"type": "integer"}]
    many = {"type": "object", "properties": {"n": {"type": "array", "items": {"anyOf": either}}}}
    connector = Answers("a", "a")
    connector.have("x", schema=many)
    toolbox = opened({"": {"a": served(connector, "a")}})

    def counted() -> float:
        return REGISTRY.get_sample_value("headrace_tools_long_checks_total") or 0.0

    before = counted()
    await toolbox.call("t", "a.x", {"n": [1]}, deadline_s=60)
    assert counted() == before
    await toolbox.call("t", "a.x", {"n": [1] * 100}, deadline_s=60)
    with pytest.raises(ToolFailed, match="is not valid"):
        await toolbox.call("t", "a.x", {"n": [1] * 60 + [None] * 10}, deadline_s=60)
    with pytest.raises(ToolFailed, match="steps to check") as raised:
        await toolbox.call("t", "a.x", {"n": [1] * 1000}, deadline_s=60)
    assert raised.value.reason == "invalid"
    assert counted() == before + 3


async def test_validators_of_tools_that_are_gone_are_not_kept() -> None:
    connector = Answers("a", "a")
    one = served(connector, "a")
    toolbox = opened({"": {"a": one}})
    for n in range(20):
        connector.have(f"t{n}", "same")
        await toolbox.call("t", f"a.t{n}", {}, deadline_s=60)
        await toolbox.call("t", "a.same", {}, deadline_s=60)
    assert set(one.validators) <= {"t19", "same"}


async def test_a_cancelled_call_gives_its_turn_back() -> None:
    toolbox = opened({"": {"a": served(Answers("a", "a", "forever", "x"), "a")}})
    calls = [asyncio.create_task(toolbox.call("t", "a.forever", {}, deadline_s=60)) for _ in range(2)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert await toolbox.call("t", "a.x", {}, deadline_s=1) == ["a", True]


async def test_a_call_is_a_span_that_tells_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(service, "tracer", provider.get_tracer("test"))
    toolbox = opened({"": {"a": served(Answers("a", "a", "x", "odd"), "a")}})
    await toolbox.call("t", "a.x", {"n": 123456}, deadline_s=1)
    with pytest.raises(ToolFailed):
        await toolbox.call("t", "a.odd", {}, deadline_s=1)
    ok, failed = spans.get_finished_spans()
    assert (ok.name, ok.attributes) == ("tool a", {"headrace.tool": "a.x", "headrace.tenant_id": "t"})
    assert ok.status.is_ok
    assert failed.status.status_code is StatusCode.ERROR


async def test_without_a_file_there_is_nothing_to_call() -> None:
    assert NoTools().tools("t") == {}
    with pytest.raises(ToolFailed):
        await NoTools().call("t", "a.x", {}, deadline_s=1)
