"""What a run's events have opened and not yet closed: messages, tool calls and their results, steps. Pure.

AG-UI wants everything closed before the run's end, and nothing closed twice; a call that has no result by then is the
client's to answer, which none of ours is. An owner follows its own events; one that
takes over reads the log once.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from headrace_executor import events

BROKEN_OFF = "the call was broken off"

Event = Mapping[str, Any]


class Openings:
    """Follows the events of one run in their order."""

    def __init__(self) -> None:
        self._messages: dict[str, None] = {}
        self._calls: dict[str, None] = {}
        self._unanswered: dict[str, None] = {}
        self._steps: dict[str, None] = {}

    def see(self, event: Event) -> None:
        """Take note of one event."""
        match event["type"]:
            case "TEXT_MESSAGE_START":
                self._messages[event["messageId"]] = None
            case "TEXT_MESSAGE_END":
                self._messages.pop(event["messageId"], None)
            case "TOOL_CALL_START":
                self._calls[event["toolCallId"]] = None
                self._unanswered[event["toolCallId"]] = None
            case "TOOL_CALL_END":
                self._calls.pop(event["toolCallId"], None)
            case "TOOL_CALL_RESULT":
                self._unanswered.pop(event["toolCallId"], None)
            case "STEP_STARTED":
                self._steps[event["stepName"]] = None
            case "STEP_FINISHED":
                self._steps.pop(event["stepName"], None)

    def close(self) -> list[Event]:
        """Close all that is open, the innermost first, and return the events that do it."""
        closing = [
            *(events.text_end(message) for message in reversed(self._messages)),
            *({"type": "TOOL_CALL_END", "toolCallId": call} for call in reversed(self._calls)),
            *(events.tool_failed(call, BROKEN_OFF) for call in self._unanswered),
            *(events.step_cut(step) for step in reversed(self._steps)),
        ]
        self._messages.clear()
        self._calls.clear()
        self._unanswered.clear()
        self._steps.clear()
        return closing

    def interrupt(self, run_id: str) -> list[Event]:
        """Close all that is open because its owner is gone, and say which steps begin anew."""
        restarted = list(_restarted(run_id, tuple(self._steps), tuple(self._messages)))
        return [*self.close(), *restarted]


def _restarted(run_id: str, steps: Iterable[str], messages: tuple[str, ...]) -> Iterable[Event]:
    left = dict.fromkeys(messages)
    for step in steps:
        node = f"{run_id}:{step.removeprefix('node:')}"
        mine = [message for message in left if message == node or message.startswith(f"{node}:")]
        for message in mine:
            del left[message]
        yield events.custom("headrace.restarted", {"step": step, "message_id": mine[0] if mine else None})
    for message in left:
        yield events.custom("headrace.restarted", {"step": None, "message_id": message})
