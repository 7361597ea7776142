"""Where a call's arguments go, and that they go nowhere else."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from headrace_blueprint.tools import Tool
from headrace_tools.errors import ToolFailed
from headrace_tools.model import ToolEntry
from headrace_tools.requests import Endpoint, Parameter, build
from hypothesis import given
from hypothesis import strategies as st

ENTRY = ToolEntry(Tool("c.t", "A tool.", {}), "http", "c")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def endpoint(method: str = "GET", path: str = "/", *parameters: Parameter, **more: Any) -> Endpoint:
    return Endpoint(ENTRY, method, "http://host/base", path, parameters, **more)


def url(one: Endpoint, arguments: Mapping[str, Any]) -> str:
    return build(one, arguments).url


def test_arguments_go_where_they_are_sent() -> None:
    one = endpoint(
        "POST", "/a/{id}/b", Parameter("id", "path", "id"), Parameter("q", "query", "q"), Parameter("h", "header", "X-H")
    )
    request = build(one, {"id": 7, "q": ["a", "b&c"], "h": "value", "name": "Ä", "deep": {"x": [1, None]}})
    assert request.url == "http://host/base/a/7/b?q=a&q=b%26c"
    assert request.headers == {"X-H": "value", "Content-Type": "application/json"}
    assert request.body == '{"name":"Ä","deep":{"x":[1,null]}}'.encode()


@pytest.mark.parametrize(("method", "told"), [("POST", True), ("PATCH", True), ("DELETE", True), ("GET", False)])
def test_what_changes_something_tells_which_call_it_is(method: str, told: bool) -> None:
    sent = build(endpoint(method), {}, call_id="RUN:node:a")
    assert sent.headers.get("Idempotency-Key") == ("RUN:node:a" if told else None)
    assert "Idempotency-Key" not in build(endpoint(method), {}).headers


def test_what_has_no_place_is_the_query_of_a_get() -> None:
    assert url(endpoint(rest="query"), {"a": 1, "b": True, "c": None, "d": {"x": 1}}) == (
        "http://host/base/?a=1&b=true&d=%7B%22x%22%3A1%7D"
    )


def test_a_list_is_one_value_with_commas_where_it_does_not_explode() -> None:
    assert url(endpoint("GET", "/", Parameter("a", "query", "a", explode=False), rest="query"), {"a": [1, 2]}).endswith(
        "?a=1%2C2"
    )


def test_one_argument_may_be_the_body() -> None:
    one = endpoint("POST", whole_body="body", content_type="application/merge-patch+json")
    request = build(one, {"body": [1, 2]})
    assert request.body == b"[1,2]"
    assert request.headers == {"Content-Type": "application/merge-patch+json"}
    assert build(one, {}).body is None


@given(TEXT, TEXT)
def test_an_argument_cannot_leave_its_segment_of_the_path(first: str, second: str) -> None:
    one = endpoint("GET", "/a/{x}/b/{y}-c", Parameter("x", "path", "x"), Parameter("y", "path", "y"))
    if first in ("", ".", ".."):
        with pytest.raises(ToolFailed):
            url(one, {"x": first, "y": second})
        return
    made = urlsplit(url(one, {"x": first, "y": second}))
    assert (made.netloc, made.query, made.fragment) == ("host", "", "")
    parts = made.path.split("/")
    assert parts[:3] == ["", "base", "a"]
    assert [unquote(parts[3]), parts[4], unquote(parts[5])] == [first, "b", f"{second}-c"]
    assert len(parts) == 6


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_segment_of_dots_or_nothing_is_refused(value: str) -> None:
    with pytest.raises(ToolFailed, match="must not be empty") as raised:
        url(endpoint("GET", "/a/{x}", Parameter("x", "path", "x")), {"x": value})
    assert raised.value.reason == "invalid"


@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_the_query_comes_back_as_it_was(arguments: dict[str, str]) -> None:
    made = urlsplit(url(endpoint(rest="query"), arguments))
    assert made.fragment == ""
    assert parse_qsl(made.query, keep_blank_values=True) == list(arguments.items())


@given(st.text())
def test_a_header_has_no_line_break(value: str) -> None:
    one = endpoint("GET", "/", Parameter("h", "header", "X-H"))
    if not (value.isascii() and value.isprintable()):
        with pytest.raises(ToolFailed, match="printable ASCII"):
            build(one, {"h": value})
        return
    sent = build(one, {"h": value}).headers["X-H"]
    assert sent == value.strip()
    assert not set(sent) & set("\r\n\0")


def test_a_url_has_a_longest_length() -> None:
    with pytest.raises(ToolFailed, match="8192"):
        url(endpoint(rest="query"), {"a": "x" * 9000})
