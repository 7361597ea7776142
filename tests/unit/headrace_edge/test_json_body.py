"""JSON bodies within limits."""

from typing import Any

import pytest
from headrace_edge import json_body
from headrace_edge.policy import Refused
from hypothesis import given
from hypothesis import strategies as st


def nested(depth: int) -> bytes:
    """An object whose deepest container is at `depth`."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def refused(body: bytes) -> int:
    with pytest.raises(Refused) as caught:
        json_body.parse(body, max_depth=64)
    return caught.value.problem.status


def test_the_deepest_allowed_body_is_read() -> None:
    assert json_body.parse(nested(64), max_depth=64) is not None


@pytest.mark.parametrize("body", [nested(65), nested(900), b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"])
def test_a_deeper_one_is_refused(body: bytes) -> None:
    assert refused(body) == 422


def test_ten_thousand_levels_are_refused_without_recursion() -> None:
    assert refused(nested(10_000)) == 400
    assert refused(b"[" * 10_000) == 400


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"{} {}"])
def test_what_is_not_json_is_400(body: bytes) -> None:
    assert refused(body) == 400


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null"])
def test_what_is_not_an_object_is_422(body: bytes) -> None:
    assert refused(body) == 422


def test_the_nul_character_is_refused_and_its_spelling_in_a_text_is_not() -> None:
    assert refused(rb'{"a": "x\u0000"}') == 422
    assert refused(rb'{"a": "\\\u0000"}') == 422
    assert json_body.parse(rb'{"a": "\\u0000"}', max_depth=64) == {"a": r"\u0000"}


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(VALUES, st.integers(min_value=1, max_value=6))
def test_depth_is_counted_as_by_definition(value: Any, limit: int) -> None:
    assert json_body.depth_exceeds(value, limit) == (depth_of(value) > limit)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/ld+json"]
)
def test_json_types_are_taken(kind: str) -> None:
    json_body.require_json(kind)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"]
)
def test_other_types_are_415(kind: str) -> None:
    with pytest.raises(Refused) as caught:
        json_body.require_json(kind)
    assert caught.value.problem.status == 415
