"""References are found, resolved once, and never read out of the values that they bring in."""

from typing import Any

import pytest
from headrace_blueprint import references
from headrace_blueprint.references import MalformedReference, MissingReference, ResolvedTooLarge
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.headrace_blueprint.documents import JSON

SCOPE: dict[str, Any] = {
    "inputs": {"x": [1, 2], "s": "text", "evil": "${inputs.s} ${nodes.secret.output}", "none": None},
    "nodes": {"a": {"output": {"b": [{"c": 5}], "d-e": True}}},
    "item": {"text": "t"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${inputs.x}", [1, 2]),
        ("${inputs.x[1]}", 2),
        ("${ inputs.x }", [1, 2]),
        ("${nodes.a.output.b[0].c}", 5),
        ("${nodes.a.output.d-e}", True),
        ("${item.text}", "t"),
        ("${inputs.none}", None),
        ("x ${inputs.s}, ${inputs.x}, ${inputs.none}", "x text, [1,2], null"),
        ("no reference $ {}", "no reference $ {}"),
        ("$${inputs.x}", "${inputs.x}"),
        ("$${inputs.x} and ${inputs.s}", "${inputs.x} and text"),
        ("${inputs.evil}", "${inputs.s} ${nodes.secret.output}"),
        ("say ${inputs.evil}", "say ${inputs.s} ${nodes.secret.output}"),
    ],
)
def test_a_string_resolves(text: str, value: Any) -> None:
    assert references.resolve(text, SCOPE) == value


def test_values_resolve_at_any_place_and_keys_are_left_alone() -> None:
    assert references.resolve({"${inputs.s}": ["${inputs.s}", {"a": "${item}"}]}, SCOPE) == {
        "${inputs.s}": ["text", {"a": {"text": "t"}}]
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${inputs.y}", "${inputs.y}: ${inputs} has no 'y'"),
        ("${inputs.x[2]}", "${inputs.x} has no item 2"),
        ("${inputs.x.a}", "${inputs.x} has no 'a'"),
        ("${inputs.s[0]}", "${inputs.s} has no item 0"),
        ("${nodes.q.output}", "${nodes} has no 'q'"),
        ("${chunk}", "there is no 'chunk' here"),
    ],
)
def test_a_missing_path_says_how_far_it_goes(text: str, says: str) -> None:
    with pytest.raises(MissingReference) as caught:
        references.resolve(text, SCOPE)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text", ["${", "a ${ b", "${}", "${a b}", "${a..b}", "${a[x]}", "${nodes.${a}}", "${1}", "${a[-1]}"]
)
def test_what_begins_like_a_reference_and_is_none_is_malformed(text: str) -> None:
    with pytest.raises(MalformedReference):
        references.resolve(text, SCOPE)
    with pytest.raises(MalformedReference):
        list(references.in_text(text))


def test_needs_are_the_nodes_of_all_strings() -> None:
    value = {"a": ["${nodes.x.output} ${nodes.y.output.z}", {"b": "${inputs.q} $${nodes.no.output}"}]}
    assert references.needs(value) == {"x", "y"}


def test_text_that_grows_without_bound_is_refused() -> None:
    with pytest.raises(ResolvedTooLarge):
        references.resolve(["-${inputs.big}"] * 5, {"inputs": {"big": "x" * 1_000_000}})


def test_finding_does_not_recurse() -> None:
    value: Any = "${nodes.deep.output}"
    for _ in range(10_000):
        value = [value]
    assert references.needs(value) == {"deep"}


@given(st.text() | st.text(alphabet="$ {}ab.[0]"))
def test_a_literal_resolves_to_itself(text: str) -> None:
    assert references.resolve(references.literal(text), {}) == text
    assert references.needs(references.literal(text)) == frozenset()


@given(JSON)
def test_a_whole_reference_gives_the_value_itself(value: Any) -> None:
    assert references.resolve("${inputs.v}", {"inputs": {"v": value}}) == value


@given(st.text(alphabet="${}inputs.nodes[0]a "))
def test_any_text_resolves_or_says_why_not(text: str) -> None:
    try:
        references.resolve(text, SCOPE)
    except (MalformedReference, MissingReference):
        return
