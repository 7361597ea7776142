"""The smallest value of a schema is one that the schema allows."""

from typing import Any

import jsonschema
import pytest
from headrace_simulator.instance import MAX_VALUES, NotASchema, smallest
from hypothesis import given
from hypothesis import strategies as st

numbers = st.integers(-50, 50)


@st.composite
def bounded(draw: st.DrawFn) -> dict[str, Any]:
    low, width = draw(numbers), draw(st.integers(3, 30))
    names = draw(
        st.sampled_from([("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum"), ("minimum",), ("maximum",)])
    )
    kind = draw(st.sampled_from(["integer", "number"]))
    bounds = {name: low if name.endswith("inimum") else low + width for name in names}
    return {"type": kind, **bounds, **({"multipleOf": 2} if draw(st.booleans()) else {})}


leaves = st.one_of(
    st.sampled_from([{"type": "string"}, {"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, True, {}]),
    st.builds(
        lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more}, *[st.integers(0, 9)] * 2
    ),
    st.builds(lambda value: {"const": value}, numbers),
    st.builds(lambda values: {"enum": values}, st.lists(st.text(max_size=3), min_size=1, max_size=3)),
    bounded(),
)


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    return st.one_of(
        named.map(lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)}),
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 2)),
        st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options}),
    )


@given(schema=st.recursive(leaves, grown, max_leaves=8))
def test_it_is_valid(schema: Any) -> None:
    jsonschema.validate(smallest(schema), schema)


def test_references_are_followed_also_into_themselves() -> None:
    schema = {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name", "children"],
            }
        },
        "allOf": [
            {"$ref": "#/$defs/node"},
            {"required": ["size"], "properties": {"size": {"type": "integer", "minimum": 3}}},
        ],
    }
    assert smallest(schema) == {"name": "text", "children": [], "size": 3}


def test_a_schema_without_an_end_has_one() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}

    assert "a" in smallest(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": "x"},
        {"type": "array", "minItems": MAX_VALUES + 1},
        {"type": "string", "minLength": 10**9},
        {"required": 3},
        {"$ref": "#/nowhere"},
        {"type": "integer", "minimum": 1, "multipleOf": 0},
    ],
)
def test_what_is_no_schema_or_too_large_is_said(schema: Any) -> None:
    with pytest.raises(NotASchema):
        smallest(schema)
