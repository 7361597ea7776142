"""Schemas of arguments: which can be used, and what they refuse."""

from typing import Any

import jsonschema
import pytest
from headrace_schemas import counted
from headrace_tools import schemas
from headrace_tools.errors import ToolFailed
from hypothesis import given
from hypothesis import strategies as st

PUPIL = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "friends": {"type": "array", "items": {"$ref": "#/$defs/p"}}},
}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    "schema", [_object(), _object(a={"type": "integer"}), {**_object(p={"$ref": "#/$defs/p"}), "$defs": {"p": PUPIL}}]
)
def test_a_schema_of_an_object_can_be_used(schema: Any) -> None:
    assert schemas.fault(schema) is None


def _nested(depth: int) -> Any:
    return {"not": _nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ([], "type: object"),
        ({"type": "string"}, "type: object"),
        (_object(a={"type": "text"}), "is no JSON Schema"),
        (_object(a={"$ref": "https://example.com/schema"}), "another document"),
        (_object(a={"$dynamicRef": "other.json"}), "another document"),
        (_object(a={"$ref": "#/$defs/none"}), "does not have"),
        (_object(a={"$ref": "#/properties/a"}), "leads back to itself"),
        ({**_object(), "allOf": [{"$ref": "#"}]}, "leads back to itself"),
        ({**_object(), "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, "leads back to itself"),
        ({**_object(), "dependentSchemas": {"x": {"$ref": "#"}}}, "leads back to itself"),
        (
            {
                **_object(a={"$ref": "#/$defs/d0"}),
                "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(12)} | {"d12": {}},
            },
            "too many to check",
        ),
        (_object(a={"$ref": 3}), "properties/a/$ref: is of another type"),
        (_object(a={"pattern": "("}), "'(' is no regular expression"),
        (_object(a={"pattern": 3}), "properties/a/pattern: is of another type"),
        (_object(a={"patternProperties": {"(": {}}}), "'(' is no regular expression"),
        (_object(a={"patternProperties": {"x": {"type": "text"}}}), "is no JSON Schema: type"),
        (_object(a=_nested(40)), "nested"),
        (_object(a={"description": "x" * 40_000}), "larger than"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, said: str) -> None:
    assert said in (schemas.fault(schema) or "")


def test_arguments_that_are_not_those_of_the_tool_are_told_one_by_one() -> None:
    validator = counted.validator({**_object(a={"type": "integer"}, b={"enum": [1]}), "required": ["c"]})
    with pytest.raises(ToolFailed) as raised:
        schemas.check("x.y", validator, {"a": "1", "b": 2})
    assert raised.value.reason == "invalid"
    for said in ("x.y", "$.a: '1' is not of type", "$.b", "'c' is a required property"):
        assert said in str(raised.value)


def test_a_property_may_be_called_like_a_keyword() -> None:
    named = {"$ref": {"type": "string"}, "pattern": {"type": "integer"}, "patternProperties": {}}
    assert schemas.fault(_object(**named)) is None
    schemas.check("t", counted.validator(_object(**named)), {"$ref": "#", "pattern": 1, "patternProperties": 2})


def test_a_schema_that_refers_to_itself_in_many_places_is_judged_once_for_all_of_them() -> None:
    """Counting anew for each place would take a second for one tool."""
    many = {**_object(**{f"a{n}": {"$ref": "#/$defs/x"} for n in range(900)}), "$defs": {"x": {"allOf": [{}] * 900}}}
    assert schemas.fault(many) is None


def test_expressions_are_ours_to_match_and_others_are_left_to_them() -> None:
    """One that takes Python the age of the world to match, in a schema that a server sent."""
    endless = _object(a={"type": "string", "pattern": "^(a+)+$"})
    endless["patternProperties"] = {"^(a+)+$": {"type": "string"}}
    endless["additionalProperties"] = False
    schemas.check("t", counted.validator(endless), {"a": "a" * 60 + "!", "a" * 60 + "!": 1})
    own = counted.validator(_object(a={"pattern": "^a+$"}), own=True)
    schemas.check("t", own, {"a": "aa"})
    with pytest.raises(ToolFailed, match="does not match"):
        schemas.check("t", own, {"a": "b"})


plain: st.SearchStrategy[Any] = st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5]) | st.text(max_size=1)


@given(st.lists(st.recursive(plain, st.lists, max_leaves=4)))
def test_items_are_unique_as_json_says(items: list[Any]) -> None:
    validator = counted.validator(_object(a={"uniqueItems": True}))
    if jsonschema.Draft202012Validator({"uniqueItems": True}).is_valid(items):
        schemas.check("t", validator, {"a": items})
    else:
        with pytest.raises(ToolFailed, match="has an item twice"):
            schemas.check("t", validator, {"a": items})


def test_checking_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "MAX_CHECK_STEPS", 100_000)
    either = [*[{"type": "string"}] * 100, {"type": "integer"}]
    validator = counted.validator(_object(a={"type": "array", "items": {"anyOf": either}}))
    assert schemas.checked_at_once("t", validator, {"a": [1]})
    assert not schemas.checked_at_once("t", validator, {"a": [1] * 50})
    schemas.check("t", validator, {"a": [1] * 50})
    with pytest.raises(ToolFailed, match="steps to check") as raised:
        schemas.check("t", validator, {"a": [1] * 500})
    assert raised.value.reason == "invalid"


def test_a_schema_that_is_itself_refuses_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "MAX_CHECK_STEPS", 100_000)
    with pytest.raises(ToolFailed, match="steps to check"):
        schemas.check("t", counted.validator({"$ref": "#"}), {"a": 1})


def test_faults_are_looked_for_until_they_are_many() -> None:
    validator = counted.validator(_object(a={"type": "array", "items": {"type": "integer"}}))
    with pytest.raises(ToolFailed) as raised:
        schemas.check("t", validator, {"a": ["x"] * 100_000})
    assert str(raised.value).count("is not of type") == schemas.SHOWN_FAULTS


def test_a_reference_that_its_own_id_leads_astray_is_the_tools_fault() -> None:
    schema = _object(a={"$id": "https://example.com/", "$ref": "#/$defs/p"}) | {"$defs": {"p": PUPIL}}
    assert schemas.fault(schema) is None
    with pytest.raises(ToolFailed, match="cannot be used"):
        schemas.check("t", counted.validator(schema), {"a": {}})


def test_arguments_have_a_size() -> None:
    validator = counted.validator(_object())
    schemas.check("t", validator, {"a": "x" * 1000})
    with pytest.raises(ToolFailed, match="larger than"):
        schemas.check("t", validator, {"a": "x" * 1_100_000})
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ToolFailed, match="nested too deeply"):
        schemas.check("t", validator, {"a": deep})
