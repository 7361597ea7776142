"""Every fault is found, with its place and a hint; nothing makes the validator raise."""

import copy
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from headrace_blueprint import tools, validation
from headrace_blueprint.faults import Fault, InvalidBlueprint
from headrace_blueprint.limits import MAX_BYTES
from headrace_blueprint.model import ALL
from headrace_blueprint.plan import compile_plan
from hypothesis import given

from tests.fuzz import hostile
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


def flow(workflow_id: str, name: str = "x", **inputs: Any) -> dict[str, Any]:
    return {"id": name, "kind": "flow", "workflow_id": workflow_id, "inputs": inputs}


def each(node: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": "x", "kind": "map", "over": "${inputs.n}", "node": node}


TOOL_NODES = [
    (compose("x", tools=["calculator", "tme"]), "/nodes/0/tools/1", "did you mean 'time'?"),
    (compose("x", tools=["time", "search", "time"]), "/nodes/0/tools/2", "there twice"),
    (compose("x", tools=["${inputs.message}"]), "/nodes/0/tools/0", "there is no tool '${inputs.message}'"),
    (compose("x", tools=[]), "/nodes/0/tools", "at least 1 item"),
    (compose("x", tools=["time"], max_iterations=11), "/nodes/0/max_iterations", "less than or equal to 10"),
    (compose("x", max_iterations=3), "/nodes/0/max_iterations", "or leave this out"),
    (compose("x", on_error="ignore"), "/nodes/0/on_error", "'fail' or 'continue'"),
    (compose("x", on_eror="continue"), "/nodes/0/on_eror", "did you mean 'on_error'?"),
    (
        {"id": "x", "kind": "map", "over": "${inputs.n}", "node": compose("y", tools=["tme"])},
        "/nodes/0/node/tools/0",
        "'time'",
    ),
    ({"id": "x", "kind": "flow", "workflow_id": "${inputs.message}"}, "/nodes/0/workflow_id", "write the workflow's id"),
    (
        {"id": "x", "kind": "flow", "workflow_id": "w", "inputs": {"a": ["${inputs.q}"]}},
        "/nodes/0/inputs/a/0",
        "no input 'q'",
    ),
]


@pytest.mark.parametrize(("node", "pointer", "says"), TOOL_NODES)
def test_wrong_tools_and_workflows_are_reported_where_they_are(node: dict[str, Any], pointer: str, says: str) -> None:
    found = faults(blueprint(node))
    assert list(found) == [pointer]
    assert says in found[pointer]


@pytest.mark.parametrize("kind", sorted(ALL - {"map"}))
def test_every_kind_may_continue_on_an_error_and_a_composer_may_have_tools_beside_a_schema(kind: str) -> None:
    nodes = {node["kind"]: node for node in EVERY_KIND["nodes"]}
    document = copy.deepcopy(EVERY_KIND)
    for node in document["nodes"]:
        if node["id"] == nodes[kind]["id"]:
            node["on_error"] = "continue"
        if node["kind"] == "compose":
            node |= {"tools": ["time", "search"], "max_iterations": 10, "schema": {"type": "object"}}
    document["nodes"][4]["node"]["on_error"] = "fail"
    assert faults(document) == {}
    assert validation.parse(document, tools=tools.SCHEMAS).to_json() == document


@pytest.mark.parametrize("known", [frozenset({"class-report", "quiz"}), {"class-report": 1, "quiz": 2}])
def test_a_workflow_must_be_known_when_the_known_ones_are_given(known: Any) -> None:
    document = blueprint(flow("class-report", "a"), flow("class-reprot", "b"), each(flow("quizz", "c")))
    found = faults(document, workflows=known)
    assert list(found) == ["/nodes/1/workflow_id", "/nodes/2/node/workflow_id"]
    assert "did you mean 'class-report'?" in found["/nodes/1/workflow_id"]
    assert faults(document) == {}
    assert "there are none" in faults(document, workflows=())["/nodes/0/workflow_id"]


@pytest.mark.parametrize("place", ["then", "else"])
def test_a_branch_may_not_guard_what_it_waits_for(place: str) -> None:
    case = {"when": "nodes.b.output != ''", "then": ["a"] if place == "then" else []}
    branch = {"id": "way", "kind": "branch", "cases": [case], "else": ["a"] if place == "else" else []}
    found = faults(blueprint(compose("a"), compose("b", "${nodes.a.output}"), branch))
    (pointer,) = found
    assert pointer == ("/nodes/2/cases/0/then/0" if place == "then" else "/nodes/2/else/0")
    assert "the branch 'way' decides whether 'a' runs, and waits for it: a → b → way → a" in found[pointer]


def test_all_cycles_of_separate_nodes_are_listed() -> None:
    nodes = [compose("a", needs=["b"]), compose("b", needs=["a"]), compose("c", needs=["c"]), compose("d")]
    assert list(faults(blueprint(*nodes))) == ["/nodes/0", "/nodes/2"]


def test_every_wrong_reference_of_a_text_is_listed() -> None:
    found = validation.validate(blueprint(compose("x", "${a b} ${inputs.q} ${nodes.y.output}")), tools={})
    assert [fault.pointer for fault in found] == ["/nodes/0/prompt"] * 3


def test_a_part_of_an_output_is_not_checked_for_its_type() -> None:
    assert faults(blueprint(compose("a"), compose("b", "${nodes.a.output.anything[3].at_all}"))) == {}


def nested_tool(schema: Mapping[str, Any], **args: Any) -> list[str]:
    document = blueprint({"id": "x", "kind": "data", "tool": "t", "args": args})
    return [fault.pointer for fault in validation.validate(document, tools={"t": schema})]


def test_a_tools_schema_that_fetches_loops_or_matches_for_ever_harms_nothing() -> None:
    slow = {
        "properties": {"a": {"pattern": "^(a+)+$"}},
        "patternProperties": {"^(b+)+$": False},
        "additionalProperties": False,
    }
    assert nested_tool(slow, a="a" * 40 + "!", **{"b" * 40 + "!": 1}) == []
    assert nested_tool({"properties": {"a": {"uniqueItems": True}}}, a=[{"n": n} for n in range(900)]) == []
    assert nested_tool({"$ref": "http://127.0.0.1:1/x"}, a=1) == ["/nodes/0/args"]
    assert nested_tool({"$ref": "#"}, a=1) == [], "what takes too much work is left to the call, which refuses it"
    assert nested_tool({"properties": {"a": {"type": "strin"}}}, a=1) == ["/nodes/0/args"]


def test_an_unknown_field_deep_in_an_argument_has_its_place() -> None:
    schema = {"properties": {"a": {"properties": {"b": {}}, "additionalProperties": False}}}
    assert nested_tool(schema, a={"c": 1}) == ["/nodes/0/args/a"]


def test_a_typo_is_found_where_a_schema_leaves_open_which_arguments_there_are() -> None:
    known = {"type": "object", "properties": {"text": {}, "limit": {}}, "required": ["text"]}
    assert nested_tool(known, txt="x") == ["/nodes/0/args", "/nodes/0/args/txt"]
    assert nested_tool(known, text="x", limt=1) == ["/nodes/0/args/limt"]
    assert nested_tool(known, text="x", texts="y", colour="red") == []
    assert nested_tool({**known, "additionalProperties": True}, text="x", limt=1) == []


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


def test_a_name_that_every_pointer_below_would_repeat_is_refused() -> None:
    document = blueprint({"id": "x", "kind": "flow", "workflow_id": "w", "inputs": {"a": {"k" * 257: ["${x}"] * 500}}})
    (found,) = validation.validate(document, tools={})
    assert (found.pointer, found.hint) == ("/nodes/0/inputs/a", "shorten it")


def test_a_value_that_holds_another_many_times_over_is_too_large_at_once() -> None:
    value: Any = "x"
    for _ in range(40):
        value = [value, value]
    (found,) = validation.validate({"version": 1, "inputs": value}, tools={})
    assert "values" in found.message


@pytest.mark.parametrize("value", [b"x", (1,), object(), 1 + 2j])
def test_what_is_no_json_value_has_its_place(value: object) -> None:
    (found,) = validation.validate({"version": 1, "nodes": [{}, {"a/b": [0, value]}]}, tools={})
    assert found.pointer == "/nodes/1/a~1b/1"
    assert f"{type(value).__name__} is not a JSON value" in found.message


def test_what_is_too_deep_has_its_place() -> None:
    (found,) = validation.validate({"version": 1, "nodes": [0, nested(100)]}, tools={})
    assert found.pointer == "/nodes/1" + "/0" * 62


def test_two_hundred_nodes_are_the_limit() -> None:
    assert faults(blueprint(*(compose(f"n{i}") for i in range(200)))) == {}
    assert "/nodes" in faults(blueprint(*(compose(f"n{i}") for i in range(201))))


def test_the_list_of_faults_ends() -> None:
    document = blueprint(*(compose(f"n{i}", needs=["zz"] * 50) for i in range(200)))
    found = validation.validate(document, tools={})
    assert len(found) == validation.MAX_FAULTS + 1
    assert "more than" in found[-1].message


@pytest.mark.parametrize("name", [*hostile.DOCUMENTS, *hostile.RAW])
def test_a_hostile_document_has_faults_or_a_plan_and_raises_nothing(name: str) -> None:
    """What they cost is for tests/fuzz/blueprint.py to measure."""
    data = hostile.RAW[name] if name in hostile.RAW else orjson.dumps(hostile.DOCUMENTS[name]())
    faults: tuple[Fault, ...] = ()
    try:
        made = compile_plan(validation.parse(validation.loads(data), tools=tools.SCHEMAS))
    except InvalidBlueprint as error:
        faults = error.faults
    assert 0 < len(faults) <= validation.MAX_FAULTS + 1 if faults else made.order


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (blueprint(compose("x", "${inputs.n}" * 2600), compose("y", "${inputs.n}" * 2600)), "more than 2000 references"),
        (hostile.DOCUMENTS["tokens"](), "more than 10000 tokens"),
        (hostile.DOCUMENTS["too large a schema"](), "20000 values"),
        (hostile.DOCUMENTS["schemas"](), "the schemas have more than 2000 values"),
        (
            blueprint({"id": "x", "kind": "data", "tool": "search", "args": {"query": [[]] * 2000}}),
            "the arguments have more",
        ),
        (blueprint(compose("x"), inputs={"enum": list(range(201))}), "a list of more than 200 items"),
        (blueprint(compose("x", "${inputs.message" + ".x" * 250 + "}")), "more than 500 characters"),
    ],
)
def test_what_goes_past_a_limit_is_told_once(document: object, says: str) -> None:
    found = [fault.message for fault in validation.validate(document, tools=tools.SCHEMAS)]
    assert len([message for message in found if says in message]) == 1


@given(graphs())
def test_every_random_graph_is_valid(document: dict[str, Any]) -> None:
    assert validation.validate(document, tools=tools.SCHEMAS, kinds=RUNNABLE) == []


@given(JSON)
def test_no_json_value_makes_it_raise(document: object) -> None:
    assert validation.validate(document, tools=tools.SCHEMAS)
