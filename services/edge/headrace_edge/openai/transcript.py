"""A run's events read as one answer: its messages one after another, whatever order their pieces come in. No I/O."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headrace_runtime import errors

from headrace_edge import policy
from headrace_edge.model import Failure, Usage
from headrace_edge.openai.model import Answered, AnswerItem, Restarted

GAP = "\n\n"
"""Between two messages."""

_FAILURES: Mapping[str, type[errors.ServiceError]] = {
    "deadline": errors.DeadlineExceeded,
    "provider": errors.Unavailable,
    "quota": errors.Unavailable,
    "budget": errors.ResourceExhausted,
    "invalid_blueprint": errors.InvalidArgument,
    "conflict": errors.Aborted,
}


class Transcript:
    """Takes a run's events in turn. One message is told as it comes; those that begin meanwhile wait for its end.

    What waits is bounded by what the engine lets a run write.
    """

    def __init__(self, model: str, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._model = model
        self._wall_clock = wall_clock
        self._waiting: dict[str, list[str]] = {}
        """Open and waiting messages by id, the one that is told first."""
        self._ended: set[str] = set()
        self._told: list[str] = []
        self._seen: set[str] = set()
        """Messages of which something was told."""
        self._usage = Usage()

    def take(self, event: Mapping[str, Any]) -> Sequence[AnswerItem]:
        """What an event adds to the answer. Raises ServiceError when the run has failed or was cancelled."""
        match event["type"]:
            case "TEXT_MESSAGE_START":
                self._waiting[event["messageId"]] = []
            case "TEXT_MESSAGE_CONTENT":
                self._waiting.setdefault(event["messageId"], []).append(event["delta"])
            case "TEXT_MESSAGE_END":
                self._ended.add(event["messageId"])
            case "CUSTOM":
                return self._custom(event["name"], event["value"])
            case "RUN_FINISHED":
                return self._finished(event)
            case "RUN_ERROR":
                code = event["code"]
                why = Failure(code, event["message"], event.get("metadata", {}).get("retry_after_s"))
                lasts_s = policy.failure_lasts_s(why, now_s=self._wall_clock())
                failure = _FAILURES.get(code, errors.InternalError)
                raise failure(why.message, reason=f"RUN_{code.upper()}", retry_after_s=lasts_s)
        return self._tell()

    def _tell(self) -> Sequence[str]:
        """The text that may be told now."""
        texts: list[str] = []
        while self._waiting:
            message_id, pieces = next(iter(self._waiting.items()))
            if pieces:
                if message_id not in self._seen and self._told:
                    texts.append(GAP)
                self._seen.add(message_id)
                texts += pieces
                self._told += pieces
                pieces.clear()
            if message_id not in self._ended:
                break
            del self._waiting[message_id]
        return ["".join(texts)] if texts else []

    def _custom(self, name: str, value: Any) -> Sequence[AnswerItem]:
        if name == "headrace.usage":
            self._usage = Usage.model_validate(value)
        if name == "headrace.restarted" and value.get("message_id"):
            void = value["message_id"]
            self._waiting.pop(void, None)
            if void in self._seen:
                self._told.clear()
                self._seen.clear()
                return [Restarted(), *self._tell()]
        return self._tell()

    def _finished(self, event: Mapping[str, Any]) -> Sequence[AnswerItem]:
        if (event.get("outcome") or {}).get("type") == "cancelled":
            raise errors.Aborted("the run was cancelled", reason="RUN_CANCELLED")
        result = event.get("result")
        reply = policy.reply_of(result) if isinstance(result, Mapping) else ""
        rest = [] if self._told or not reply else [reply]
        return [*rest, Answered(reply or "".join(self._told), self._model, "stop", self._usage)]
