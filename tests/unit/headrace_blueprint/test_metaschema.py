"""A schema passes exactly when the metaschema of JSON Schema 2020-12 lets it pass, but for the words that are refused."""

from typing import Any

import jsonschema
import pytest
from headrace_blueprint import metaschema
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.unit.headrace_blueprint.documents import JSON

META = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
WORDS = sorted(
    {field.alias or name for name, field in metaschema.Schema.model_fields.items()} - metaschema.REFUSED.keys() - {"$id"}
)
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def passes(schema: dict[str, Any]) -> bool:
    return not list(metaschema.errors(schema))


SCHEMAS = st.recursive(
    st.booleans()
    | st.dictionaries(st.sampled_from(["type", "minLength"]), st.sampled_from([*TYPES, 3]), max_size=2)
    | JSON,
    lambda inner: st.dictionaries(
        st.sampled_from(WORDS),
        inner
        | st.lists(inner | st.sampled_from(TYPES), max_size=3)
        | st.dictionaries(st.sampled_from(["a", "type", "items"]), inner, max_size=2)
        | st.sampled_from([*TYPES, 0, -1, 5.0, 5.5, True]),
        max_size=4,
    ),
    max_leaves=12,
)


@settings(max_examples=examples(200))
@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)))
def test_it_agrees_with_the_metaschema(schema: dict[str, Any]) -> None:
    assert passes(schema) == META.is_valid(schema), schema


@pytest.mark.parametrize("word", WORDS)
@settings(max_examples=25)
@given(value=st.one_of(JSON, st.sampled_from([*TYPES, [], ["string"], ["a", "a"], {"a": {}}, {"a": ["b"]}, 0, 1.0, 1.5])))
def test_each_word_takes_the_values_that_the_metaschema_says(word: str, value: Any) -> None:
    assert passes({word: value}) == META.is_valid({word: value})


@pytest.mark.parametrize(
    "place", [(), ("items",), ("properties", "items"), ("anyOf", 0), ("not",), ("$defs", "x"), ("items", "then", "else")]
)
@pytest.mark.parametrize("word", metaschema.REFUSED)
def test_a_refused_word_is_found_at_its_place(word: str, place: tuple[str | int, ...]) -> None:
    schema: Any = {word: "x"}
    for part in reversed(place):
        schema = [schema] if isinstance(part, int) else {part: schema}
    assert list(metaschema.errors(schema)) == [((*place, word), "")]


def test_a_wrong_value_is_told_in_words() -> None:
    said = dict(metaschema.errors({"type": "strin", "items": 3, "required": ["a", "a"], "minLength": -1}))
    assert "'array', 'boolean'" in said[("type",)]
    assert said[("items",)] == "a schema is an object or a boolean"
    assert said[("required",)] == "a name is there twice"
    assert "greater than or equal to 0" in said[("minLength",)]
