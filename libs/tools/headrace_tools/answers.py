"""What an HTTP answer means for a tool's call. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from headrace_tools import pointer
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_ERROR_CHARACTERS
from headrace_tools.model import Json

MAX_RETRY_AFTER_S = 3600.0
"""A longer Retry-After is not believed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """Such as application/json; "" when the answer does not say."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text, in the charset that the answer names, or UTF-8."""
        charset = self.headers.get("content-type", "").lower().partition("charset=")[2].split(";")[0].strip(" \"'")
        try:
            return self.body.decode(charset or "utf-8", errors="replace")
        except (LookupError, ValueError):  # no charset that Python has
            return self.body.decode(errors="replace")


def result(answer: Answer, *, path: str, now: datetime) -> Json:
    """The value at `path`, a JSON pointer, of an answer. Raises `ToolFailed` for what is no success, or no JSON or text."""
    check_status(answer, now=now)
    value = _value(answer)
    try:
        return pointer.find(value, path)
    except LookupError as error:
        raise ToolFailed(f"the answer has nothing at {path}", reason="failed") from error


def tells_why(status: int) -> bool:
    """Whether an error status tells the cause: the credentials, the rate of calls, or the server."""
    return status in (401, 403) or _passes(status)


def _passes(status: int) -> bool:
    return status in (408, 425, 429) or status >= 500


def check_status(answer: Answer, *, now: datetime) -> None:
    """Raise `ToolFailed` when an answer is no success."""
    status = answer.status
    if 200 <= status < 300:
        return
    if status in (401, 403):
        said = "the credentials are not accepted, or there are none; look at the connector's `auth`"
        raise ToolFailed(f"it answered {status}: {said}", reason="refused")
    if _passes(status):
        waits = retry_after_s(answer.headers.get("retry-after"), now=now)
        raise ToolFailed(f"it answered {status}{_quoted(answer)}", reason="away", retry_after_s=waits)
    raise ToolFailed(f"it answered {status}{_quoted(answer)}", reason="failed")


def retry_after_s(header: str | None, *, now: datetime) -> float | None:
    """Seconds that a Retry-After asks for: a number, or an HTTP date seen from an aware `now`. None when it says none."""
    if header is None:
        return None
    try:
        seconds = float(header) if header.strip().isdecimal() else (_date(header) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _date(header: str) -> datetime:
    date = parsedate_to_datetime(header)
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _value(answer: Answer) -> Json:
    if not answer.body.strip():
        return None
    kind = answer.media_type
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise ToolFailed("it answered JSON that is none", reason="failed") from error
    if kind.startswith("text/"):
        return answer.text
    raise ToolFailed(f"it answered {kind[:100] or 'without a Content-Type'}; only JSON and text are read", reason="failed")


def _quoted(answer: Answer) -> str:
    kind = answer.media_type
    readable = kind.startswith("text/") or kind == "application/json" or kind.endswith("+json")
    text = answer.text.strip()[:MAX_ERROR_CHARACTERS] if readable else ""
    return f": {text}" if text else ""
