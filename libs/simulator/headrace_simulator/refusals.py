"""Errors in the provider's words, and the headers that come with them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import orjson

from headrace_simulator.policy import Cause, Limit, Quota, Refusal, Room
from headrace_simulator.profile import Profile

Headers = list[tuple[bytes, bytes]]

_DASHSCOPE: Mapping[Cause, tuple[str, str]] = {
    "requests": ("Requests rate limit exceeded, please try again later.", "limit_requests"),
    "burst": ("Request rate increased too quickly. Please send requests more smoothly over time.", "limit_burst_rate"),
    "tokens": ("Allocated quota exceeded, please increase your quota limit.", "insufficient_quota"),
    "concurrency": ("Too many requests. Concurrency limit exceeded.", "limit_concurrency"),
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole HTTP answer."""

    status: int
    headers: Headers
    body: bytes


def refused(refusal: Refusal, model: str, limit: Limit, profile: Profile) -> Answered:
    """A 429 as `profile.dialect` says it."""
    if profile.dialect == "dashscope":
        message, code = _DASHSCOPE[refusal.cause]
        kind = code
    else:
        message, kind, code = _openai(refusal, model, limit), _openai_kind(refusal.cause), "rate_limit_exceeded"
    return _error(429, message, kind, code=code, headers=_retry_after(refusal.wait_s, profile))


def failed(status: int) -> Answered:
    """A fault of the server."""
    message = "The server had an error while processing your request. Sorry about that!"
    return _error(status, message, "server_error")


def invalid(status: int, message: str, *, code: str | None = None, parameter: str | None = None) -> Answered:
    """A fault of the caller."""
    return _error(status, message, "invalid_request_error", code=code, parameter=parameter)


def rate_headers(quota: Quota, now: float) -> Headers:
    """x-ratelimit-* as OpenAI has them."""
    found: Headers = []
    for name, room in zip(("requests", "tokens"), quota.room(now), strict=True):
        found += _room_headers(name, room)
    return found


def _room_headers(name: str, room: Room | None) -> Headers:
    if room is None:
        return []
    values = {"limit": f"{room.per_minute:.0f}", "remaining": f"{int(room.left)}", "reset": _span(room.full_in_s)}
    return [(f"x-ratelimit-{kind}-{name}".encode(), value.encode()) for kind, value in values.items()]


def _openai_kind(cause: Cause) -> str:
    return "tokens" if cause == "tokens" else "requests"


def _openai(refusal: Refusal, model: str, limit: Limit) -> str:
    if refusal.cause == "concurrency":
        return f"Rate limit reached for {model} on concurrent requests: Limit {limit.concurrency}."
    tokens = refusal.cause == "tokens"
    what = "tokens per min (TPM)" if tokens else "requests per min (RPM)"
    amount = limit.tpm if tokens else limit.rpm
    again = "" if refusal.wait_s is None else f" Please try again in {_span(refusal.wait_s)}."
    return f"Rate limit reached for {model} on {what}: Limit {amount:g}.{again}"


def _retry_after(wait_s: float | None, profile: Profile) -> Headers:
    if wait_s is None or profile.retry_after == "none":
        return []
    value = str(max(1, ceil(wait_s))) if profile.retry_after == "whole" else f"{ceil(wait_s * 1000) / 1000:g}"
    return [(b"retry-after", value.encode())]


def _span(seconds: float) -> str:
    """As OpenAI writes it: 120ms, 7.5s, 6m0s."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{ceil(seconds * 1000) / 1000:g}s"
    whole = ceil(seconds)
    return f"{whole // 60}m{whole % 60}s"


def _error(
    status: int,
    message: str,
    kind: str,
    *,
    code: str | None = None,
    parameter: str | None = None,
    headers: Headers | None = None,
) -> Answered:
    error: dict[str, Any] = {"message": message, "type": kind, "param": parameter, "code": code}
    return Answered(status, headers or [], orjson.dumps({"error": error}))
