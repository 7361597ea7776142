"""Wires a `ModelClient`: models file, Redis, cache, gate, LiteLLM."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from headrace_llm import models_file
from headrace_llm.cache.app import cached
from headrace_llm.client import ModelClient
from headrace_llm.errors import Fault, InvalidRegistry
from headrace_llm.gate import PacedGate
from headrace_llm.job import Rules
from headrace_llm.registry import Registry
from headrace_llm.service import Models
from headrace_llm.settings import LlmSettings


@asynccontextmanager
async def model_client(settings: LlmSettings, registry: Registry | None = None) -> AsyncIterator[ModelClient]:
    """A client that may be used at once. LiteLLM is imported beside it; a call that comes earlier waits for that.

    `registry` stands in for the models file. Raises `InvalidFile` for a file that cannot be used.
    """
    from headrace_llm.adapters import litellm_provider, redis_gate

    known = registry or load_registry(settings)
    url = settings.redis_url.get_secret_value()
    client = redis_gate.connect(url, timeout_s=settings.redis_timeout_s, connections=settings.redis_connections)
    provider = litellm_provider.LiteLlm(os.environ)
    pacer = redis_gate.SharedPacer(
        redis_gate.RedisPacer(client), share=settings.fallback_share, retry_s=settings.redis_retry_s
    )
    gate = PacedGate(known, pacer, max_waiting=settings.max_waiting)
    async with aclosing(client):
        provider.start()
        try:
            async with cached(Models(known, gate, provider, _rules(settings)), settings) as models:
                yield models
        finally:
            await gate.close()
            await provider.close()


def load_registry(settings: LlmSettings) -> Registry:
    """Read the models file. Raises `InvalidRegistry`."""
    path = settings.models_file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRegistry(str(path), [Fault(0, "", f"cannot be read: {error}")]) from error
    return models_file.parse(text, source=str(path))


async def faults(registry: Registry) -> Sequence[str]:
    """What can be seen to be wrong with the models before any is asked: unknown providers, unset keys. One line each."""
    from headrace_llm.adapters import litellm_provider

    provider = litellm_provider.LiteLlm(os.environ)
    try:
        return [fault for entry in registry.models.values() for fault in await provider.faults(entry)]
    finally:
        await provider.close()


def _rules(settings: LlmSettings) -> Rules:
    return Rules(
        cool_down_s=settings.cool_down_s,
        max_cool_down_s=settings.max_cool_down_s,
        first_token_s=settings.first_token_s,
        silence_s=settings.silence_s,
        unavailable_attempts=settings.unavailable_attempts,
        throttled_attempts=settings.throttled_attempts,
        default_max_tokens=settings.default_max_tokens,
    )
