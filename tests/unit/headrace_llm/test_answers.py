"""Models' answers beside the schema that they were asked for."""

from typing import Any

import pytest
from headrace_llm import answers
from headrace_runtime.errors import InvalidArgument


def test_what_is_wrong_with_an_answer_is_named_with_its_place() -> None:
    schema = {"type": "object", "properties": {"a/b": {"items": {"type": "integer"}}}, "required": ["c"]}
    found = answers.faults('{"a/b": [1, "x"]}', answers.validator(schema))
    assert found == [": 'c' is a required property", "/a~1b/1: 'x' is not of type 'integer'"]
    assert answers.faults('{"c": 1}', answers.validator(schema)) == []


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 5000 + "]" * 5000])
def test_what_is_no_json_is_told(text: str) -> None:
    (said,) = answers.faults(text, answers.validator({}))
    assert said.startswith(": not JSON")


def test_expressions_of_our_own_schemas_count() -> None:
    assert answers.faults('"b"', answers.validator({"pattern": "^a$"}))


@pytest.mark.parametrize("schema", [{"type": "text"}, {"properties": 3}])
def test_a_schema_that_is_none_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidArgument, match="not a JSON Schema"):
        answers.validator(schema)


def test_a_reference_that_leads_nowhere_is_the_schemas_fault() -> None:
    with pytest.raises(InvalidArgument, match="cannot be used"):
        answers.faults("1", answers.validator({"$ref": "#/$defs/none"}))


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"allOf": [{"anyOf": [{}] * 100}] * 100}},
        {"items": {"unevaluatedProperties": False, "allOf": [{"properties": {"n": {}}}] * 190}},
    ],
    ids=["alternatives", "unevaluated"],
)
def test_a_users_schema_and_a_long_answer_are_so_much_work(schema: Any) -> None:
    """Each would be minutes by the library's own checks, and no call of another run goes on meanwhile."""
    assert answers.faults("[" + ",".join(['{"n":1}'] * 50_000) + "]", answers.validator(schema))[-1] == answers.TOO_MUCH


def test_items_are_found_twice_in_one_pass() -> None:
    items = ",".join(f'{{"n":{n}}}' for n in range(20_000))
    unique = answers.validator({"uniqueItems": True})
    assert answers.faults(f"[{items}]", unique) == []
    assert answers.faults(f'[{items},{{"n":7}}]', unique) == [": has an item twice"]
