"""Inputs beside their schema: what does not fit is named, and a stranger's pair of them is bounded work."""

from typing import Any

import jsonschema
import orjson
import pytest
from headrace_blueprint import fit
from headrace_schemas import counted
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.hostile_inputs import PAIRS

Json = Any
SCHEMA = {"properties": {"n": {"type": "integer"}, "of": {"items": {"enum": ["a", "b"]}}}, "required": ["n"]}


def test_inputs_that_fit_have_no_fault() -> None:
    assert fit.faults(SCHEMA, {"n": 1, "of": ["a"], "more": None}) == []


def test_what_does_not_fit_is_named_with_its_place() -> None:
    found = dict(fit.faults(SCHEMA, {"n": "x", "of": ["a", "c"]}))
    assert found.keys() == {("n",), ("of", 1)}
    assert "'x' is not of type 'integer'" in found["n",]
    assert fit.faults(SCHEMA, {}) == [((), "'n' is a required property")]
    assert fit.faults(SCHEMA, [])[0][0] == ()


def test_so_many_faults_are_listed_and_each_is_short() -> None:
    found = fit.faults({"properties": {"a": {"items": {"enum": ["x" * 500]}}}}, {"a": [1] * 200})
    assert len(found) == fit.MAX_FAULTS
    assert max(len(message) for _, message in found) == fit.MAX_MESSAGE


@pytest.mark.parametrize("name", PAIRS)
def test_hostile_inputs_are_no_more_than_so_much_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def noted(*given: Any) -> int:
        nonlocal calls
        calls += 1
        return cost(*given)

    cost = counted._cost
    monkeypatch.setattr(counted, "_cost", noted)
    fit.faults(*PAIRS[name])
    assert calls <= fit.MAX_WORK + 1


@pytest.mark.parametrize("name", ["all of", "none of any", "if", "unevaluated", "never"])
def test_too_much_work_is_a_fault_at_the_end(name: str) -> None:
    assert fit.faults(*PAIRS[name])[-1] == ((), fit.TOO_MUCH)


@pytest.mark.parametrize("name", ["numbers", "unique numbers", "unique objects", "unique anything"])
def test_long_lists_of_plain_values_are_not(name: str) -> None:
    assert fit.faults(*PAIRS[name]) == []


def test_a_value_too_deep_to_be_quoted_is_refused() -> None:
    deep = orjson.loads(b"[" * 1_000 + b"]" * 1_000)
    assert fit.faults({"properties": {"a": {"type": "string"}}}, {"a": deep})


subschemas: st.SearchStrategy[Json] = st.recursive(
    st.booleans() | st.fixed_dictionaries({}, optional={"type": st.sampled_from(["string", "object", "array"])}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=3),
            "not": inner,
            "if": inner,
            "then": inner,
            "uniqueItems": st.booleans(),
            "additionalProperties": inner,
            "unevaluatedProperties": inner,
            "required": st.lists(st.sampled_from("abc"), unique=True),
        },
    ),
    max_leaves=8,
)
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from("abc"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(schema=st.dictionaries(st.sampled_from("abc"), subschemas), value=st.dictionaries(st.sampled_from("abc"), values))
def test_what_is_found_is_what_the_library_finds(schema: Json, value: Json) -> None:
    whole = {"type": "object", "properties": schema}
    found = jsonschema.Draft202012Validator(whole).iter_errors(value)
    said = [(one, "has an item twice" if one.validator == "uniqueItems" else one.message) for one in found]
    assert fit.faults(whole, value) == [(tuple(one.absolute_path), text[: fit.MAX_MESSAGE]) for one, text in said]
