"""Wires a `ModelClient`: models file, Redis, cache, gate, LiteLLM."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from headrace_runtime.settings import Fault
from headrace_runtime.tasks import guard

from headrace_llm import models_file
from headrace_llm.breaker import BreakerRules
from headrace_llm.budgeted import BudgetedModels
from headrace_llm.cache.app import cached
from headrace_llm.client import ModelClient
from headrace_llm.errors import InvalidRegistry
from headrace_llm.gate.paced import PacedGate, process_id
from headrace_llm.job import Rules
from headrace_llm.noted import NotedModels
from headrace_llm.ports import Waits
from headrace_llm.registry import Registry
from headrace_llm.service import Models
from headrace_llm.settings import LlmSettings
from headrace_llm.spending import Budgets


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process that asks models has of the library."""

    client: ModelClient
    """Notes of waits, then cache, then budgets, then the gate and the provider."""
    budgets: Budgets
    waits: Waits


@asynccontextmanager
async def model_client(settings: LlmSettings, registry: Registry | None = None) -> AsyncIterator[ModelClient]:
    """A client that may be used at once. LiteLLM is imported beside it; a call that comes earlier waits for that.

    `registry` stands in for the models file. Raises `InvalidFile` for a file that cannot be used.
    """
    async with model_parts(settings, registry) as parts:
        yield parts.client


@asynccontextmanager
async def model_parts(settings: LlmSettings, registry: Registry | None = None) -> AsyncIterator[Parts]:
    """As `model_client`, with the budgets for who can prove what was spent. Raises `InvalidFile`."""
    from headrace_llm.adapters import litellm_provider, redis_budgets, redis_gate, redis_waits

    known = registry or load_registry(settings)
    url = settings.redis_url.get_secret_value()
    client = redis_gate.connect(url, timeout_s=settings.redis_timeout_s, connections=settings.redis_connections)
    provider = litellm_provider.LiteLlm(os.environ)
    process = process_id()
    gate = PacedGate(
        known,
        redis_gate.RedisLimits(client, process, most_waiting=settings.max_queue),
        process=process,
        max_waiting=settings.max_waiting,
        fallback_share=settings.fallback_share,
        cool_down_s=settings.cool_down_s,
        retry_s=settings.redis_retry_s,
    )
    budgets = Budgets(
        known, redis_budgets.RedisCounters(client), share=settings.fallback_share, retry_s=settings.redis_retry_s
    )
    waits = redis_waits.RedisWaits(client)
    async with aclosing(client), guard() as tasks:
        provider.start()
        await gate.start()
        if budgets.any:
            tasks.start(budgets.tend(), name="budgets")
        try:
            models = Models(known, gate, provider, _rules(settings))
            paid = BudgetedModels(models, budgets, default_max_tokens=settings.default_max_tokens)
            async with cached(paid, settings) as outermost:
                yield Parts(NotedModels(outermost, waits), budgets, waits)
        finally:
            await waits.close()
            await budgets.close()
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
        retry_ratio=settings.retry_ratio,
        retry_floor=settings.retry_floor,
        fair_s=settings.breaker_fair_s,
        breaker=BreakerRules(
            consecutive=settings.breaker_failures,
            ratio=settings.breaker_ratio,
            min_calls=settings.breaker_calls,
            window_s=settings.breaker_window_s,
            open_s=settings.breaker_open_s,
            max_open_s=settings.breaker_max_open_s,
        ),
        default_max_tokens=settings.default_max_tokens,
    )
