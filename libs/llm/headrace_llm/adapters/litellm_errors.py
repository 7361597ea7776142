"""LiteLLM's exceptions in our terms. What a provider wrote reaches our caller only where it says what to change."""

import re
from importlib import import_module
from typing import Any

from headrace_runtime import errors

from headrace_llm.errors import CallTimeout, ProviderAuth, ProviderRejected, ProviderUnavailable, Throttled
from headrace_llm.registry import ModelEntry

DETAIL_CHARS = 300
"""How much of a provider's own words is passed on."""

_PREFIX = re.compile(r"^(litellm\.\w+: )+(\w+Exception - )?")


def translate(error: Exception, entry: ModelEntry, *, key_name: str, secret: str | None) -> errors.ServiceError:
    """Our error for one of LiteLLM's. `key_name` is the variable that may hold the key, `secret` the key itself."""
    litellm: Any = import_module("litellm")
    status = getattr(error, "status_code", None)
    if isinstance(error, litellm.RateLimitError) or status == 429:
        return Throttled(f"the provider of {entry.id} asks to slow down", retry_after_s=_retry_after_s(error))
    if isinstance(error, litellm.Timeout) or status == 408:
        return CallTimeout(f"{entry.id} did not answer in time")
    if isinstance(error, litellm.AuthenticationError | litellm.PermissionDeniedError) or status in (401, 403):
        return ProviderAuth(f"the provider of {entry.id} refuses the key for {entry.model}: {_advice(entry, key_name)}")
    if isinstance(error, litellm.NotFoundError) or status == 404:
        return ProviderAuth(
            f"the provider does not know {entry.model}: correct models.{entry.id}.model (or api_base) in models.yaml"
        )
    if isinstance(error, litellm.BadRequestError) or (isinstance(status, int) and 400 <= status < 500):
        if "LLM Provider NOT provided" in str(error):
            return ProviderAuth(f"{entry.provider!r} is no provider: correct models.{entry.id}.model in models.yaml")
        return ProviderRejected(f"the provider of {entry.id} refuses the request: {_detail(error, secret)}")
    return ProviderUnavailable(f"the provider of {entry.id} failed: {type(error).__name__} {status or ''}".rstrip())


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
