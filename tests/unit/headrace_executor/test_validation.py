"""What is wrong with a blueprint: every fault, the tenant's tools, flows that are unknown or lead back."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_blueprint import tools
from headrace_blueprint.flows import MAX_FLOW_DEPTH, MAX_FLOWS
from headrace_executor import validation
from headrace_executor.engine import requests
from headrace_executor.validation import Validator, flow_nodes
from headrace_runtime.errors import ResourceExhausted
from hypothesis import given
from hypothesis import strategies as st

NODE = {"id": "sum", "kind": "compute", "expr": "1 + 1"}
PLAN = {"version": 1, "name": "sum", "nodes": [NODE], "output": "${nodes.sum.output}"}
LOOKUP = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}


@dataclass
class Flows:
    """Workflows that name each other, of one tenant."""

    leads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def reach(self, tenant_id: str, workflow_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        self.asked.append(tenant_id)
        found: dict[str, Sequence[str]] = {}
        queue = list(workflow_ids)
        for one in queue:
            if one in self.leads and one not in found:
                found[one] = self.leads[one]
                queue += self.leads[one]
        return found

    async def ids(self, tenant_id: str) -> Sequence[str]:
        return list(self.leads)


def flow(name: str, workflow_id: str, *, mapped: bool = False) -> dict[str, Any]:
    node = {"id": name, "kind": "flow", "workflow_id": workflow_id}
    return {"id": f"all_{name}", "kind": "map", "over": "${inputs.all}", "node": node} if mapped else node


def plan(*nodes: Any, **fields: Any) -> dict[str, Any]:
    inputs = {"type": "object", "properties": {"all": {"type": "array"}}}
    return {**PLAN, "inputs": inputs, "nodes": [NODE, *nodes], **fields}


async def faults(document: Any, given: Any = None, *, flows: Flows | None = None, **asked: Any) -> dict[str, str]:
    validator = Validator(flows or Flows(), lambda tenant: {**tools.SCHEMAS, "school.pupil": LOOKUP})
    found = await validator.faults("t", document, given, **{"size": 0, **asked})
    return {one.pointer: f"{one.message} {one.hint}" for one in found}


async def test_every_fault_of_a_blueprint_is_listed() -> None:
    nodes = [
        {"id": "a", "kind": "compute", "expr": "1", "needs": ["b"]},
        {"id": "b", "kind": "data", "tool": "gone", "args": {}, "needs": ["a"]},
    ]
    found = await faults({**PLAN, "nodes": nodes, "output": "${nodes.c.output}"})
    assert len(found) >= 3
    assert all(pointer.startswith("/blueprint/") for pointer in found)


async def test_the_tenants_tools_are_known_and_their_arguments_checked() -> None:
    assert not await faults(plan({"id": "p", "kind": "data", "tool": "school.pupil", "args": {"id": "7"}}))
    found = await faults(plan({"id": "p", "kind": "data", "tool": "school.pupil", "args": {}}))
    assert [pointer.startswith("/blueprint/nodes/1/args") for pointer in found] == [True]


async def test_inputs_are_checked_with_the_schemas_defaults() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "of": {"type": "string", "default": "a"}}}
    document = {**PLAN, "inputs": {**schema, "required": ["n", "of"]}}
    assert not await faults(document, {"n": 1})
    assert set(await faults(document, {"n": "x"})) == {"/inputs/n"}
    assert set(await faults(document, {})) == {"/inputs"}


async def test_inputs_that_would_be_checked_for_minutes_are_refused() -> None:
    schema = {"type": "object", "properties": {"all": {"items": {"allOf": [{}] * 200}}}}
    found = await faults({**PLAN, "inputs": schema}, {"all": [1] * 5000})
    assert set(found) == {"/inputs"}
    assert "fewer values" in found["/inputs"]


async def test_an_unknown_workflow_is_a_fault_with_the_nearest_id_and_the_order_of_saving() -> None:
    flows = Flows({"weekly-report": (), "quiz": ()})
    found = await faults(plan(flow("a", "weekly-raport"), flow("b", "quiz")), flows=flows)
    assert set(found) == {"/blueprint/nodes/1/workflow_id"}
    assert "'weekly-report'" in found["/blueprint/nodes/1/workflow_id"]
    assert "saved before" in found["/blueprint/nodes/1/workflow_id"]


async def test_a_workflow_that_would_come_back_to_itself_is_refused_with_the_way() -> None:
    flows = Flows({"a": ("b", "c"), "b": (), "c": ("me",), "me": ()})
    found = await faults(plan(flow("x", "a", mapped=True), flow("y", "b")), flows=flows, saved_as="me")
    assert set(found) == {"/blueprint/nodes/1/node/workflow_id"}
    assert "me → a → c → me" in found["/blueprint/nodes/1/node/workflow_id"]
    assert not await faults(plan(flow("x", "a"), flow("y", "b")), flows=flows)


async def test_a_workflow_that_names_itself_is_refused_although_it_is_not_saved_yet() -> None:
    found = await faults(plan(flow("x", "me")), saved_as="me")
    assert "me → me" in found["/blueprint/nodes/1/workflow_id"]


async def test_workflows_that_would_be_too_deep_inside_each_other_are_refused_with_the_way() -> None:
    chain: dict[str, Sequence[str]] = {f"w{n}": (f"w{n + 1}",) for n in range(MAX_FLOW_DEPTH)}
    flows = Flows({**chain, f"w{MAX_FLOW_DEPTH}": ()})
    found = await faults(plan(flow("x", "w0"), flow("y", "w1")), flows=flows, saved_as="me")
    assert set(found) == {"/blueprint/nodes/1/workflow_id"}
    assert "me → w0 → w1 → " in found["/blueprint/nodes/1/workflow_id"]


async def test_a_blueprint_that_leads_to_too_many_workflows_has_one_fault() -> None:
    flows = Flows({"all": [f"w{n}" for n in range(MAX_FLOWS)], **{f"w{n}": () for n in range(MAX_FLOWS)}})
    assert set(await faults(plan(flow("x", "all"), flow("y", "w1")), flows=flows)) == {"/blueprint/nodes"}
    flows.leads = {"all": [f"w{n}" for n in range(MAX_FLOWS - 1)], **{f"w{n}": () for n in range(MAX_FLOWS - 1)}}
    assert not await faults(plan(flow("x", "all"), flow("y", "w1")), flows=flows)


async def test_a_blueprint_without_flows_asks_the_store_nothing() -> None:
    flows = Flows()
    await faults(PLAN, flows=flows)
    assert not flows.asked


async def test_a_long_document_is_checked_in_a_thread_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    go, threads = threading.Event(), []

    def held(*_: Any, **__: Any) -> Sequence[Any]:
        threads.append(threading.current_thread())
        go.wait(30)
        return ()

    monkeypatch.setattr(requests, "faults", held)
    validator = Validator(Flows(), lambda tenant: {})
    size = validation.INLINE_BYTES + 1
    checks = [asyncio.create_task(validator.faults("t", PLAN, None, size=size)) for _ in range(validation.MAX_WAITING)]
    while len(threads) < validation.MAX_THREADS:
        await asyncio.sleep(0.001)
    with pytest.raises(ResourceExhausted) as caught:
        await validator.faults("t", PLAN, None, size=size)
    assert caught.value.retry_after_s
    assert len(threads) == validation.MAX_THREADS
    go.set()
    await asyncio.gather(*checks)
    assert threading.main_thread() not in threads
    await validator.faults("t", PLAN, None, size=size)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
)
node_like = st.fixed_dictionaries(
    {"kind": st.sampled_from(["flow", "map", "data"]), "workflow_id": json_values, "node": json_values}
)


@given(json_values | st.fixed_dictionaries({"nodes": json_values | st.lists(json_values | node_like)}))
def test_flow_nodes_are_found_in_any_json(document: Any) -> None:
    for at, workflow_id in flow_nodes(document):
        value = document
        for step in at:
            value = value[step]
        assert value == workflow_id
