"""Schemas of arguments: which can be used, and what they refuse."""

from typing import Any

import pytest
from headrace_tools import schemas
from headrace_tools.errors import ToolFailed

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
        (_object(a=_nested(40)), "nested"),
        (_object(a={"description": "x" * 40_000}), "larger than"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, said: str) -> None:
    assert said in (schemas.fault(schema) or "")


def test_arguments_that_are_not_those_of_the_tool_are_told_one_by_one() -> None:
    validator = schemas.compiled({**_object(a={"type": "integer"}, b={"enum": [1]}), "required": ["c"]})
    with pytest.raises(ToolFailed) as raised:
        schemas.check("x.y", validator, {"a": "1", "b": 2})
    assert raised.value.reason == "invalid"
    for said in ("x.y", "$.a: '1' is not of type", "$.b", "'c' is a required property"):
        assert said in str(raised.value)


def test_arguments_have_a_size() -> None:
    validator = schemas.compiled(_object())
    schemas.check("t", validator, {"a": "x" * 1000})
    with pytest.raises(ToolFailed, match="larger than"):
        schemas.check("t", validator, {"a": "x" * 1_100_000})
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ToolFailed, match="nested too deeply"):
        schemas.check("t", validator, {"a": deep})
