"""Is a run's log a legal AG-UI sequence? Parses every event with the protocol's own models and follows what is open."""

from collections.abc import Mapping, Sequence
from typing import Any

from ag_ui.core import Event
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(Event)
ENDS = ("RUN_FINISHED", "RUN_ERROR")


def check(events: Sequence[Mapping[str, Any]], *, ended: bool = True) -> None:
    """Assert that RUN_STARTED is first, starts precede what they open, all is closed and answered before exactly one end.

    With `ended` False the log may stop anywhere.
    """
    assert events, "an empty log"
    assert events[0]["type"] == "RUN_STARTED"
    steps: set[str] = set()
    messages: set[str] = set()
    calls: set[str] = set()
    seen: set[str] = set()
    unanswered: set[str] = set()
    for position, event in enumerate(events):
        _EVENT.validate_python(event)
        kind, where = event["type"], f"event {position + 1}: {dict(event)}"
        assert not (position and events[position - 1]["type"] in ENDS), f"after the end, {where}"
        if kind == "RUN_STARTED":
            assert position == 0, where
        elif kind == "STEP_STARTED":
            assert event["stepName"] not in steps, where
            steps.add(event["stepName"])
        elif kind == "STEP_FINISHED":
            steps.remove(event["stepName"])
        elif kind == "TEXT_MESSAGE_START":
            assert event["messageId"] not in seen, f"a message id used twice, {where}"
            seen.add(event["messageId"])
            messages.add(event["messageId"])
        elif kind == "TEXT_MESSAGE_CONTENT":
            assert event["messageId"] in messages, where
            assert event["delta"], where
        elif kind == "TEXT_MESSAGE_END":
            messages.remove(event["messageId"])
        elif kind == "TOOL_CALL_START":
            assert event["toolCallId"] not in calls, where
            calls.add(event["toolCallId"])
            unanswered.add(event["toolCallId"])
        elif kind == "TOOL_CALL_ARGS":
            assert event["toolCallId"] in calls, where
        elif kind == "TOOL_CALL_END":
            calls.remove(event["toolCallId"])
        elif kind == "TOOL_CALL_RESULT":
            unanswered.discard(event["toolCallId"])
        elif kind in ENDS:
            assert not steps | messages | calls, f"open at the end: {steps | messages | calls}, {where}"
            assert not unanswered, f"calls without a result, as if the client had to answer them: {unanswered}, {where}"
            assert event.get("result", ...) is not None, where
    assert (events[-1]["type"] in ENDS) == ended or not ended


def text(events: Sequence[Mapping[str, Any]], message_id: str) -> str:
    """The whole text of one message."""
    return "".join(
        event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT" and event["messageId"] == message_id
    )
