"""LiteLLM's exceptions in our terms. What a provider wrote reaches our caller only where it says what to change."""

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from headrace_runtime import errors

from headrace_llm.errors import (
    CallTimeout,
    ContentRefused,
    PromptTooLong,
    ProviderAuth,
    ProviderRejected,
    ProviderUnavailable,
    QuotaUsedUp,
    Throttled,
    What,
)
from headrace_llm.registry import ModelEntry

DETAIL_CHARS = 300
"""How much of a provider's own words is passed on."""

_PREFIX = re.compile(r"^(litellm\.\w+: )+(\w+Exception - )?")

_WHAT: Sequence[tuple[What, re.Pattern[str]]] = (
    ("burst", re.compile(r"increased too quickly|BurstRate", re.IGNORECASE)),
    ("concurrency", re.compile(r"concurren|parallel request", re.IGNORECASE)),
    ("requests", re.compile(r"requests? rate limit|RateQuota|requests per (min|day)|\bRPM\b", re.IGNORECASE)),
    (
        "tokens",
        re.compile(r"allocat(ed|ion) ?quota|current quota|tokens? per (min|day)|\bTPM\b|token limit", re.IGNORECASE),
    ),
)
"""What a 429 says of the limit that was met, by OpenAI's and DashScope's words; the first that fits."""

_USED_UP = re.compile(
    r"insufficient[_ ](user_)?quota|insufficient[_ ]balance|billing details|arrearage|account is in good standing|"
    r"free tier .*exhausted|FreeTierOnly|credit balance is too low",
    re.IGNORECASE,
)
_MINUTELY = "dashscope"
"""A provider whose `insufficient_quota` means the tokens of this minute."""

_CONTENT = re.compile(
    r"data_?inspection|inappropriate content|content_(policy|filter)|content management policy", re.IGNORECASE
)
_TOO_LONG = re.compile(
    r"context_length_exceeded|context (length|size|window|limit)|range of input length|input is too long", re.IGNORECASE
)


def translate(error: Exception, entry: ModelEntry, *, key_name: str, secret: str | None) -> errors.ServiceError:
    """Our error for one of LiteLLM's. `key_name` is the variable that may hold the key, `secret` the key itself."""
    litellm: Any = import_module("litellm")
    status = _status(error)
    if isinstance(error, litellm.RateLimitError) or status == 429:
        return _refused_for_now(error, entry)
    if status == 504:  # a gateway gave up, not we
        return _unavailable(error, entry)
    if isinstance(error, litellm.Timeout) or status == 408:
        return CallTimeout(f"{entry.id} did not answer in time")
    if status in (400, 402, 403) and (status == 402 or _USED_UP.search(str(error))):
        return _used_up(entry)
    if isinstance(error, litellm.AuthenticationError | litellm.PermissionDeniedError) or status in (401, 403):
        return ProviderAuth(f"the provider of {entry.id} refuses the key for {entry.model}: {_advice(entry, key_name)}")
    if isinstance(error, litellm.NotFoundError) or status == 404:
        return ProviderAuth(
            f"the provider does not know {entry.model}: correct models.{entry.id}.model (or api_base) in models.yaml"
        )
    if isinstance(error, litellm.BadRequestError) or 400 <= (status or 0) < 500:
        if "LLM Provider NOT provided" in str(error):
            return ProviderAuth(f"{entry.provider!r} is no provider: correct models.{entry.id}.model in models.yaml")
        return _rejected(litellm, error, entry, _detail(error, secret))
    return _unavailable(error, entry)


def _refused_for_now(error: Exception, entry: ModelEntry) -> errors.ServiceError:
    retry_after_s = _retry_after_s(error)
    minutely = entry.provider == _MINUTELY or _MINUTELY in (entry.api_base or "")
    if retry_after_s is None and not minutely and _USED_UP.search(str(error)):
        return _used_up(entry)
    named: Iterator[What] = (what for what, words in _WHAT if words.search(str(error)))
    return Throttled(
        f"the provider of {entry.id} asks to slow down", retry_after_s=retry_after_s, what=next(named, "unknown")
    )


def _used_up(entry: ModelEntry) -> QuotaUsedUp:
    return QuotaUsedUp(
        f"the quota of the account of {entry.id} is used up: top it up at {entry.provider}, waiting does not help"
    )


def _rejected(litellm: Any, error: Exception, entry: ModelEntry, detail: str) -> ProviderRejected:
    text = str(error)
    if isinstance(error, litellm.ContentPolicyViolationError) or _CONTENT.search(text):
        return ContentRefused(f"the content filter of {entry.id} refuses: {detail}")
    kind = ProviderRejected
    if isinstance(error, litellm.ContextWindowExceededError) or _status(error) == 413 or _TOO_LONG.search(text):
        kind = PromptTooLong
    return kind(f"the provider of {entry.id} refuses the request: {detail}")


def _unavailable(error: Exception, entry: ModelEntry) -> ProviderUnavailable:
    status = _status(error)
    return ProviderUnavailable(f"the provider of {entry.id} failed: {type(error).__name__} {status or ''}".rstrip())


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _advice(entry: ModelEntry, key_name: str) -> str:
    place = f"models.{entry.id}.api_key_env in models.yaml"
    if entry.api_base and not entry.api_key_env:
        return f"none was sent, as the server is named by api_base; name its key's variable in {place}"
    return f"correct {key_name} in the environment, or name another variable in {place}"


def _retry_after_s(error: Exception) -> float | None:
    headers: Any = getattr(error, "litellm_response_headers", None) or {}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, TypeError, ValueError):
            continue
        if seconds >= 0:
            return seconds
    return None


def _detail(error: Exception, secret: str | None) -> str:
    text = _PREFIX.sub("", str(error)).splitlines()[0] if str(error) else type(error).__name__
    return (text.replace(secret, "***") if secret else text)[:DETAIL_CHARS]
