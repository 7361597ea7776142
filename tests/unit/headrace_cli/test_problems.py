"""An error answer as one line and what to do."""

import httpx
import pytest
from headrace_cli import problems


def _answer(status: int, body: object = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def test_a_problem_is_its_title_and_detail_on_one_line() -> None:
    error = problems.decode(_answer(422, {"title": "Invalid request", "detail": "the body\nis wrong"}))

    assert str(error) == "Invalid request: the body is wrong"
    assert error.status == 422


def test_faults_are_named_up_to_a_bound() -> None:
    faults = [{"loc": ["body", f"/nodes/{n}"], "msg": "unknown tool"} for n in range(8)]

    error = problems.decode(_answer(422, {"title": "Invalid", "detail": "8 faults", "errors": faults}))

    assert "/nodes/0: unknown tool; /nodes/1" in str(error)
    assert str(error).endswith("and 3 more]")


def test_a_limit_says_when_to_come_back() -> None:
    error = problems.decode(_answer(429, {"title": "Too many requests", "detail": "queue full"}, **{"retry-after": "7"}))

    assert error.retry_after_s == 7.0
    assert error.hint == "try again in 7s"


def test_what_is_not_there_says_what_is() -> None:
    body = {"type": "urn:headrace:problem:workflow-not-found", "title": "Not Found", "detail": "there is no workflow 'x'"}

    assert problems.decode(_answer(404, body)).hint == "`headrace workflow list` shows those that there are"
    assert problems.decode(_answer(404, {"type": "about:blank"})).hint == ""


def test_inputs_that_do_not_fit_say_how_they_are_given() -> None:
    faults: list[dict[str, object]] = [{"loc": ["body", "/inputs"], "msg": "'class_id' is a required property"}]

    assert "-i NAME=VALUE" in problems.decode(_answer(422, {"title": "Invalid", "errors": faults})).hint
    faults[0]["loc"] = ["body", "message"]
    assert problems.decode(_answer(422, {"title": "Invalid", "errors": faults})).hint == ""


def test_a_long_wait_is_told_in_hours() -> None:
    assert (
        problems.decode(_answer(429, {"title": "Too many requests"}, **{"retry-after": "42233"})).hint
        == "try again in 11h43m"
    )


def test_a_fault_that_the_detail_tells_already_is_not_told_twice() -> None:
    faults = [{"loc": ["query", "to"], "msg": "to must be a day"}]
    body = {"title": "Invalid", "detail": "to must be a day", "errors": faults}

    assert str(problems.decode(_answer(422, body))) == "Invalid: to must be a day"


def test_a_missing_key_says_which_variable() -> None:
    assert "HEADRACE_API_KEY" in problems.decode(_answer(401, {"title": "Unauthorized"})).hint


def test_our_own_fault_gives_the_request_id() -> None:
    assert "abc" in problems.decode(_answer(500, {"title": "Internal", "request_id": "abc"})).hint


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b"null"])
def test_an_answer_that_is_no_problem_is_told_by_its_status(content: bytes) -> None:
    assert str(problems.decode(httpx.Response(502, content=content))) == "Bad Gateway (502)"
