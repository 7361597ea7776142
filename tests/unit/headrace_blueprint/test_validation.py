"""Every fault is found, with its place and a hint; nothing makes the validator raise."""

import copy
import time
from typing import Any

import pytest
from headrace_blueprint import tools, validation
from headrace_blueprint.faults import InvalidBlueprint
from headrace_blueprint.limits import MAX_BYTES
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.headrace_blueprint.documents import EVERY_KIND, JSON, blueprint, compose, graphs

RUNNABLE = frozenset({"data", "retrieve", "compute", "compose"})


def faults(document: object, **options: Any) -> dict[str, str]:
    found = validation.validate(document, tools=tools.SCHEMAS, **options)
    return {fault.pointer: f"{fault.message} | {fault.hint}" for fault in found}


def test_a_blueprint_of_every_kind_is_valid_and_survives_a_round_trip() -> None:
    assert faults(EVERY_KIND) == {}
    assert validation.parse(EVERY_KIND, tools=tools.SCHEMAS).to_json() == EVERY_KIND


def test_all_faults_are_listed_at_once_with_their_places() -> None:
    document = {
        "version": 1,
        "nam": "x",
        "nodes": [
            compose("a", "${nodes.b.output} ${inputs.q} ${item}", promt=1),
            compose("b", "${nodes.a.output}", retry={"attempts": 9}),
            {"id": "a", "kind": "data", "tool": "calculater"},
            {"id": "c", "kind": "data", "tool": "search", "args": {"top_k": "3", "qery": "x"}},
            {"id": "d", "kind": "compte", "expr": "1"},
            {"id": "e", "kind": "compute", "expr": "1 +"},
            {"id": "f", "kind": "compute", "expr": "sise(nodes.z.output) + q"},
            {"id": "g-1", "kind": "compose", "prompt": ""},
            {"id": "h", "kind": "compose", "prompt": "${nodes.a} ${", "needs": ["zz"]},
        ],
        "output": "text",
        "layout": [{"slot": "s", "title": "t", "node": "zz"}],
    }
    found = validation.validate(document, tools=tools.SCHEMAS)
    assert {fault.pointer for fault in found} == {
        "/name",
        "/nam",
        "/nodes/0",
        "/nodes/0/promt",
        "/nodes/0/prompt",
        "/nodes/1/retry/attempts",
        "/nodes/2/id",
        "/nodes/2/tool",
        "/nodes/3/args",
        "/nodes/3/args/top_k",
        "/nodes/3/args/qery",
        "/nodes/4",
        "/nodes/5/expr",
        "/nodes/6/expr",
        "/nodes/7/id",
        "/nodes/7/prompt",
        "/nodes/8/prompt",
        "/nodes/8/needs/0",
        "/output",
        "/layout/0/node",
    }
    hints = {fault.hint for fault in found}
    assert {
        "did you mean 'prompt'?",
        "did you mean 'calculator'?",
        "did you mean 'query'?",
        "did you mean 'compute'?",
    } <= hints
    assert "did you mean 'size'?" in hints
    assert any("a → b → a" in fault.message for fault in found)


@pytest.mark.parametrize(
    ("node", "pointer", "says"),
    [
        (compose("x", "${nodes.x.output}"), "/nodes/0", "x → x"),
        (compose("x", "${nodes.x.text}"), "/nodes/0/prompt", "refers to nothing"),
        (compose("x", "${inputs.mesage}"), "/nodes/0/prompt", "did you mean 'message'"),
        (compose("x", needs=["y"]), "/nodes/0/needs/0", "there is no node 'y'"),
        (compose("x", schema={"type": "strin"}), "/nodes/0/schema/type", "not a JSON Schema"),
        (compose("x", schema={"$ref": "http://example.com/x"}), "/nodes/0/schema/$ref", "not allowed"),
        (
            compose("x", schema={"properties": {"a": {"pattern": "(a+)+$"}}}),
            "/nodes/0/schema/properties/a/pattern",
            "not allowed",
        ),
        ({"id": "x", "kind": "compute", "expr": "inputs.q"}, "/nodes/0/expr", "there is no input 'q'"),
        ({"id": "x", "kind": "compute", "expr": "item"}, "/nodes/0/expr", "unknown 'item'"),
        (
            {"id": "x", "kind": "data", "tool": "time", "args": {"timezone": 3}},
            "/nodes/0/args/timezone",
            "not of type 'string'",
        ),
        ({"id": "x", "kind": "map", "over": "list", "node": compose("y")}, "/nodes/0/over", "one reference"),
        ({"id": "x", "kind": "map", "over": "${inputs.n}", "node": compose("x")}, "/nodes/0/node/id", "is taken"),
        (
            {"id": "x", "kind": "map", "over": "${inputs.n}", "as": "nodes", "node": compose("y")},
            "/nodes/0/as",
            "means something",
        ),
        (
            {"id": "x", "kind": "branch", "cases": [{"when": "true", "then": ["q"]}]},
            "/nodes/0/cases/0/then/0",
            "no node 'q'",
        ),
    ],
)
def test_a_wrong_node_is_reported_where_it_is_wrong(node: dict[str, Any], pointer: str, says: str) -> None:
    found = faults(blueprint(node))
    assert pointer in found, found
    assert says in found[pointer]


def test_a_schema_may_have_a_property_that_is_called_pattern() -> None:
    assert faults(blueprint(compose("x", schema={"properties": {"pattern": {"type": "string"}, "$ref": {}}}))) == {}


def test_a_value_that_a_reference_brings_in_has_no_known_type() -> None:
    node = {"id": "x", "kind": "data", "tool": "search", "args": {"query": "${inputs.message}", "top_k": "${inputs.n}"}}
    assert faults(blueprint(node)) == {}


def test_any_input_may_be_named_when_the_schema_is_open() -> None:
    assert faults(blueprint(compose("x", "${inputs.whatever}"), inputs={"additionalProperties": True})) == {}


def test_the_same_wrong_reference_of_one_text_is_one_fault() -> None:
    assert len(validation.validate(blueprint(compose("x", "${inputs.q} " * 50 + "${inputs.r}")), tools={})) == 2


def test_a_kind_that_the_engine_does_not_run_is_refused_by_name() -> None:
    found = faults(EVERY_KIND, kinds=RUNNABLE)
    assert set(found) == {"/nodes/3/kind", "/nodes/4/kind", "/nodes/5/kind"}
    assert "'branch' cannot be run here" in found["/nodes/3/kind"]


def test_a_pointer_escapes_what_rfc_6901_says() -> None:
    node = {"id": "x", "kind": "data", "tool": "time", "args": {"a/b~c": 1}}
    assert "/nodes/0/args/a~1b~0c" in faults(blueprint(node))


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "document",
    [nested(10_000), {"nodes": [{"args": nested(10_000)}]}, blueprint(compose("x", schema={"a": nested(10_000)}))],
)
def test_a_document_of_any_depth_has_one_fault(document: object) -> None:
    (found,) = validation.validate(document, tools={})
    assert "levels deep" in found.message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"[" * 10_000 + b"]" * 10_000, "levels deep"),
        (b"[" * 100 + b"]" * 100, "levels deep"),
        (b'"' + b"x" * MAX_BYTES + b'"', "bytes"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
        (b"NaN", "not JSON"),
    ],
)
def test_bytes_that_are_no_document_are_one_fault(data: bytes, says: str) -> None:
    with pytest.raises(InvalidBlueprint) as caught:
        validation.loads(data)
    assert [says in fault.message for fault in caught.value.faults] == [True]


@pytest.mark.parametrize("value", [{1: 2}, {"a": object()}, [float("nan")], "\ud800", {"a": b"x"}, {"\ud800": 1}])
def test_what_json_cannot_carry_is_a_fault_or_harmless(value: object) -> None:
    assert validation.validate({"version": 1, "nodes": value}, tools={})


def test_two_hundred_nodes_are_the_limit() -> None:
    assert faults(blueprint(*(compose(f"n{i}") for i in range(200)))) == {}
    assert "/nodes" in faults(blueprint(*(compose(f"n{i}") for i in range(201))))


def test_the_list_of_faults_ends() -> None:
    document = blueprint(*(compose(f"n{i}", needs=["zz"] * 200) for i in range(200)))
    found = validation.validate(document, tools={})
    assert len(found) == validation.MAX_FAULTS + 1
    assert "more than" in found[-1].message


@pytest.mark.parametrize(
    "document",
    [
        blueprint(compose("x"), inputs={"type": [{"a": i} for i in range(20_000)]}),
        blueprint(compose("x"), inputs={"properties": {f"p{i}": {"type": "string"} for i in range(20_000)}}),
        blueprint(*(compose(f"n{i}", "${nodes.n0.output}" * 200) for i in range(1, 200)), compose("n0")),
        blueprint(*({"id": f"n{i}", "kind": "compute", "expr": "+".join(["1"] * 290) + f"+{i}"} for i in range(200))),
        blueprint({"id": "x", "kind": "data", "tool": "search", "args": {"query": [[]] * 80_000}}),
    ],
    ids=["quadratic", "schema", "references", "cel", "args"],
)
def test_a_hostile_document_costs_no_more_than_a_second_or_two(document: object) -> None:
    started = time.process_time()
    validation.validate(document, tools=tools.SCHEMAS)
    assert time.process_time() - started < 2


@given(graphs())
def test_every_random_graph_is_valid(document: dict[str, Any]) -> None:
    assert validation.validate(document, tools=tools.SCHEMAS, kinds=RUNNABLE) == []


@given(JSON)
def test_no_json_value_makes_it_raise(document: object) -> None:
    assert validation.validate(document, tools=tools.SCHEMAS)


@settings(max_examples=300)
@given(graphs() | st.just(EVERY_KIND), st.data())
def test_a_mutation_gives_faults_or_a_blueprint_and_never_an_exception(
    document: dict[str, Any], data: st.DataObject
) -> None:
    mutated = _mutated(copy.deepcopy(document), data)
    if validation.validate(mutated, tools=tools.SCHEMAS) == []:
        assert validation.parse(mutated, tools=tools.SCHEMAS)


def _mutated(document: Any, data: st.DataObject) -> Any:
    """Replace, drop or add a value somewhere."""
    holder = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys)) if keys else None
        if key is not None and isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            continue
        break
    match data.draw(st.sampled_from(["replace", "drop", "add"])):
        case "replace" if key is not None:
            holder[key] = data.draw(JSON)
        case "drop" if key is not None:
            del holder[key]
        case _:
            _add(holder, data)
    return document


def _add(holder: Any, data: st.DataObject) -> None:
    if isinstance(holder, dict):
        holder[data.draw(st.text(max_size=5))] = data.draw(JSON)
    else:
        holder.append(data.draw(JSON))


@given(graphs(max_nodes=6), st.data())
def test_a_node_that_needs_itself_is_a_cycle_that_is_named(document: dict[str, Any], data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(document["nodes"]))
    node["needs"] = [*node.get("needs", []), node["id"]]
    found = validation.validate(document, tools=tools.SCHEMAS)
    assert [f"{node['id']} → {node['id']}" in fault.message for fault in found] == [True]
