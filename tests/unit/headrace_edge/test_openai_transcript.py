"""A run's events read as one answer."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from headrace_edge.openai.model import Answered, AnswerItem, Restarted
from headrace_edge.openai.transcript import Transcript
from headrace_runtime import errors
from hypothesis import given
from hypothesis import strategies as st


def start(name: str) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_START", "messageId": name, "role": "assistant"}


def text(name: str, delta: str) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": delta}


def end(name: str) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_END", "messageId": name}


def void(name: str | None) -> dict[str, Any]:
    return {"type": "CUSTOM", "name": "headrace.restarted", "value": {"step": "node:a", "message_id": name}}


def finished(reply: str = "", outcome: str = "success") -> dict[str, Any]:
    return {"type": "RUN_FINISHED", "result": {"reply": reply}, "outcome": {"type": outcome}}


def read(*events: dict[str, Any]) -> list[AnswerItem]:
    transcript = Transcript("headrace")
    return [item for event in events for item in transcript.take(event)]


def test_a_message_is_told_as_it_comes_and_the_end_has_the_reply_and_the_usage() -> None:
    usage = {"type": "CUSTOM", "name": "headrace.usage", "value": {"llm_calls": 1, "prompt_tokens": 3, "models": {}}}
    *texts, done = read(start("a"), text("a", "one "), text("a", "two"), end("a"), usage, finished("one two"))
    assert texts == ["one ", "two"]
    assert isinstance(done, Answered)
    assert (done.text, done.model, done.finish_reason, done.usage.prompt_tokens) == ("one two", "headrace", "stop", 3)


def test_a_run_without_messages_tells_its_reply_at_the_end() -> None:
    reply, done = read(finished("Q1 …"))
    assert (reply, isinstance(done, Answered)) == ("Q1 …", True)


def test_a_run_that_asks_back_tells_its_questions() -> None:
    event = finished(outcome="interrupt")
    event["result"]["interrupts"] = [{"id": "r:0", "message": "Which 3B?"}, {"id": "r:1", "message": "Which term?"}]
    assert read(event)[0] == "Which 3B?\n\nWhich term?"


def test_an_unseen_void_message_leaves_no_trace_and_a_seen_one_is_told() -> None:
    assert read(start("a"), end("a"), void("a"), void(None), start("a2"), text("a2", "x"), end("a2"))[0] == "x"
    seen = read(start("a"), text("a", "x"), end("a"), void("a"), start("a2"), text("a2", "y"), finished("y"))
    assert seen[:3] == ["x", Restarted(), "y"]
    assert isinstance(seen[3], Answered)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("deadline", errors.DeadlineExceeded),
        ("provider", errors.Unavailable),
        ("quota", errors.Unavailable),
        ("budget", errors.ResourceExhausted),
        ("invalid_blueprint", errors.InvalidArgument),
        ("internal", errors.InternalError),
    ],
)
def test_a_failed_run_raises(code: str, error: type[errors.ServiceError]) -> None:
    with pytest.raises(error) as caught:
        read({"type": "RUN_ERROR", "code": code, "message": "why"})
    assert caught.value.reason == f"RUN_{code.upper()}"
    assert (caught.value.retry_after_s is not None) == (code == "budget")


def test_a_run_that_met_no_quota_raises_with_the_time_that_the_gate_said() -> None:
    with pytest.raises(errors.Unavailable) as caught:
        read({"type": "RUN_ERROR", "code": "quota", "message": "why", "metadata": {"retry_after_s": 41.2}})
    assert caught.value.retry_after_s == 41.2


def test_a_cancelled_run_raises() -> None:
    with pytest.raises(errors.Aborted):
        read(finished("", "cancelled"))


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[str], list[dict[str, Any]]]:
    """Messages, and their events in any order that keeps each message's own."""
    texts = draw(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=4))
    left = [[start(f"m{n}"), *(text(f"m{n}", piece) for piece in pieces), end(f"m{n}")] for n, pieces in enumerate(texts)]
    events: list[dict[str, Any]] = []
    while any(left):
        events.append(draw(st.sampled_from([one for one in left if one])).pop(0))
    order = [event["messageId"] for event in events if event["type"] == "TEXT_MESSAGE_START"]
    return ["".join(texts[int(name[1:])]) for name in order], events


@given(interleaved())
def test_messages_that_are_written_at_once_are_told_one_after_another(case: tuple[Sequence[str], list[Any]]) -> None:
    whole, events = case
    items = read(*events)
    assert "".join(item for item in items if isinstance(item, str)) == "\n\n".join(whole)
    first = events[0]["messageId"]
    begun = list(itertools.takewhile(lambda event: event["type"] != "TEXT_MESSAGE_END", events))
    told = "".join(str(item) for item in read(*begun))
    assert told == "".join(event.get("delta", "") for event in begun if event["messageId"] == first)
