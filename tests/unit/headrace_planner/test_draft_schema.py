"""The schema of a draft holds what a grammar can hold of each tool's arguments, and a reference in any place."""

from typing import Any

import jsonschema
import pytest
from headrace_blueprint import tools
from headrace_blueprint.tools import Tool
from headrace_planner import draft_schema, toolbox
from headrace_planner.draft_schema import Language
from hypothesis import given
from hypothesis import strategies as st


def tool(**properties: Any) -> Tool:
    return Tool("a.b", "", {"type": "object", "properties": properties, "required": sorted(properties)[:1]})


def takes(one: Tool, arguments: Any) -> bool:
    schema = draft_schema.arguments(one)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(arguments)


@pytest.mark.parametrize("language", Language)
def test_there_is_a_data_node_for_each_tool_and_no_other(language: Language) -> None:
    schema = draft_schema.schema(language, (tools.TIME,))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    call = {"id": "a", "kind": "data", "tool": "time", "args": {"timezone": "UTC"}}
    assert validator.is_valid({"name": "x", "nodes": [call]})
    assert not validator.is_valid({"name": "x", "nodes": [{**call, "tool": "calculator"}]})
    assert not validator.is_valid({"name": "x", "nodes": [{**call, "args": {"zone": "UTC"}}]})
    assert not validator.is_valid({"name": "x", "nodes": [{**call, "id": "A b"}]})


def test_only_the_full_language_has_maps_branches_and_optional_nodes() -> None:
    nodes = [
        {"id": "m", "kind": "map", "title": "T", "over": "${nodes.a.output.items[0]}", "prompt": "p"},
        {"id": "m", "kind": "map", "over": "${nodes.a.output}", "tool": "time", "args": {}},
        {"id": "b", "kind": "branch", "when": "true", "then": ["m"], "else": []},
        {"id": "d", "kind": "data", "tool": "time", "args": {}, "on_error": "continue"},
        {"id": "c", "kind": "compose", "title": "T", "prompt": "p", "when": "true"},
    ]
    full, compact = (
        jsonschema.Draft202012Validator(draft_schema.schema(language, toolbox.BUILTIN))
        for language in (Language.FULL, Language.COMPACT)
    )
    for node in nodes:
        assert full.is_valid({"name": "x", "nodes": [node]})
        assert not compact.is_valid({"name": "x", "nodes": [node]})


def test_a_model_with_little_context_gets_the_compact_language() -> None:
    assert Language.of(4_096) is Language.COMPACT
    assert Language.of(8_192) is Language.FULL


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, 3, 6),
        ({"type": "integer"}, 3, "three"),
        ({"type": "number", "minimum": 0.5}, 0.7, "x"),
        ({"type": "boolean"}, True, "true"),
        ({"enum": ["spring", "autumn"]}, "spring", "summer"),
        ({"const": 3}, 3, 4),
        ({"type": "string", "maxLength": 3}, "abc", "abcd"),
        ({"type": "string"}, "x" * 200, "x" * 201),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, ["a"], []),
        ({"type": "array", "items": {"type": "integer"}}, [1, "${nodes.a.output.id}"], ["x"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1, "x"),
        ({"type": ["string", "null"]}, "x", 1),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": 1}, {"b": 1}),
    ],
)
def test_an_argument_is_typed_and_may_be_a_reference(schema: Any, good: Any, bad: Any) -> None:
    one = tool(value=schema)
    assert takes(one, {"value": good})
    assert not takes(one, {"value": bad})
    for reference in ("${inputs.entities.class.id}", "${nodes.found.output.items[3].id}"):
        assert takes(one, {"value": reference})
    assert not takes(one, {"value": bad, "other": 1})


def test_what_a_grammar_cannot_hold_is_left_out_or_left_to_the_checks_afterwards() -> None:
    untyped = {"description": "anything"}
    assert takes(tool(a={"type": "string"}, b=untyped), {"a": "x"})
    assert not takes(tool(a={"type": "string"}, b=untyped), {"a": "x", "b": 1})
    assert takes(tool(a=untyped), {"a": [1, {"b": 2}]})
    large = tool(**{f"p{at}": {"type": "object", "properties": {"a": {"type": "string"}}} for at in range(20)})
    assert draft_schema.arguments(large) == {"type": "object"}


def test_a_tool_without_arguments_takes_none() -> None:
    assert takes(Tool("a.b", "", {}), {})
    assert not takes(Tool("a.b", "", {}), {"a": 1})


SCHEMAS = st.recursive(
    st.sampled_from(
        [{"type": "string"}, {"type": "integer"}, {"enum": [1, "a"]}, {"type": "null"}, {}, {"type": "boolean"}]
    ),
    lambda inner: st.one_of(
        st.builds(lambda one: {"type": "array", "items": one}, inner),
        st.builds(lambda many: {"anyOf": many}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda named: {"type": "object", "properties": named, "required": sorted(named)[:1]},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), SCHEMAS, max_size=3))
def test_any_tool_has_a_schema_that_is_one(properties: dict[str, Any]) -> None:
    schema = draft_schema.schema(Language.FULL, (tool(**properties),))
    jsonschema.Draft202012Validator.check_schema(schema)
