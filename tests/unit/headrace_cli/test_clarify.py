"""What a run asks back, and what a typed line answers."""

from typing import Any

import pytest
from headrace_cli import clarify
from hypothesis import given
from hypothesis import strategies as st

CANDIDATES = [{"id": "c-1", "name": "3B", "campus": "Riverside"}, {"id": "c-2", "name": "3B"}, {"id": "c-3", "name": "3A"}]
INTERRUPT: dict[str, Any] = {
    "id": "r:0", "reason": "clarification", "message": "Which class?",
    "responseSchema": {"type": "string", "enum": ["c-1", "c-2", "c-3"]},
    "metadata": {"kind": "class", "text": "3B", "candidates": CANDIDATES},
}  # fmt: skip


def payload(text: str, **changes: Any) -> Any:
    entry = clarify.answer(clarify.question({**INTERRUPT, **changes}), text)
    return entry if entry is None else entry.get("payload")


def test_candidates_are_numbered_with_what_tells_them_apart() -> None:
    assert clarify.lines(clarify.question(INTERRUPT)) == [
        "Which class?", "  1. 3B (campus Riverside) [c-1]", "  2. 3B [c-2]", "  3. 3A [c-3]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", "c-1"), (" 3 ", "c-3"), ("C-2", "c-2"), ("3a", "c-3"), ("3B", None), ("4", None), ("0", None)],
)  # fmt: skip
def test_a_number_a_name_or_an_id_answers_and_what_fits_two_does_not(text: str, expected: str | None) -> None:
    assert payload(text) == expected


def test_nothing_cancels() -> None:
    assert clarify.answer(clarify.question(INTERRUPT), "  ") == {"interrupt_id": "r:0", "status": "cancelled"}


def test_a_name_that_is_a_number_means_the_record_of_that_name() -> None:
    candidates = [{"id": "a", "name": "2"}, {"id": "b", "name": "1"}]

    assert payload("1", metadata={"candidates": candidates}) == "b"


def test_the_payload_has_the_shape_that_the_schema_asks_for() -> None:
    schema = {"type": "object", "properties": {"note": {}, "id": {"enum": ["c-1"]}}, "required": ["id"]}

    assert payload("1", responseSchema=schema) == {"id": "c-1"}


def test_without_candidates_the_schemas_values_are_the_choices_and_without_these_any_text() -> None:
    assert payload("2", metadata={}, responseSchema={"enum": ["north", "south"]}) == "south"
    assert payload("as you like", metadata={}, responseSchema={"type": "string"}) == "as you like"


_names = st.sampled_from(["id", "name", "enum", "type", "candidates", "properties", "required"])
_json = st.recursive(
    st.none() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_names, inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["id", "message", "responseSchema", "metadata"]), _json), st.text(max_size=4))
def test_an_interrupt_of_an_unexpected_shape_can_still_be_shown_and_answered(interrupt: dict[str, Any], text: str) -> None:
    asked = clarify.question(interrupt)

    assert clarify.lines(asked)[0]
    entry = clarify.answer(asked, text)
    assert entry is None or entry["status"] in ("resolved", "cancelled")
