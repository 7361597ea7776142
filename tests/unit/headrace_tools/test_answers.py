"""Retry-After, charsets and pointers."""

from datetime import UTC, datetime

import pytest
from headrace_tools import answers, pointer
from headrace_tools.answers import Answer
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Mon, 04 May 2026 12:00:30 GMT", 30.0),
        ("Mon, 04 May 2026 11:00:00 GMT", 0.0),
        ("999999999", 3600.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert answers.retry_after_s(header, now=NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_within_bounds(header: str) -> None:
    seconds = answers.retry_after_s(header, now=NOW)
    assert seconds is None or 0 <= seconds <= answers.MAX_RETRY_AFTER_S


@given(st.binary(max_size=50), st.text(max_size=20))
def test_any_body_is_a_text(body: bytes, charset: str) -> None:
    assert isinstance(Answer(200, {"content-type": f"text/plain; charset={charset}"}, body).text, str)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", {"a/b": {"~": [10, 20]}}), ("/a~1b/~0/1", 20), ("/a~1b", {"~": [10, 20]})],
)
def test_a_pointer_leads_to_a_part(path: str, expected: object) -> None:
    assert pointer.find({"a/b": {"~": [10, 20]}}, path) == expected


@pytest.mark.parametrize("path", ["/none", "/a~1b/~0/2", "/a~1b/~0/-1", "/a~1b/~0/x", "/a~1b/~0/1/deeper"])
def test_a_pointer_to_nothing_is_an_error(path: str) -> None:
    with pytest.raises(LookupError):
        pointer.find({"a/b": {"~": [10, 20]}}, path)
