"""Wires the cache around a `ModelClient`: memory, Redis, single flight, the warm-up list."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial

from headrace_runtime.settings import Fault

from headrace_llm.cache import single_flight, warm_up, warm_up_file
from headrace_llm.cache.cached_models import CachedModels, Room
from headrace_llm.cache.ports import SharedRoom
from headrace_llm.client import ChatRequest, ModelClient
from headrace_llm.errors import InvalidWarmUp
from headrace_llm.registry import Registry
from headrace_llm.settings import LlmSettings


@asynccontextmanager
async def cached(inner: ModelClient, settings: LlmSettings) -> AsyncIterator[ModelClient]:
    """The client with a cache around it. Raises `InvalidWarmUp` for a list that cannot be used.

    It has connections of its own: the gate must not wait for long answers.
    """
    warm = load_warm_up(settings, inner.registry)
    if not settings.cache:
        yield inner
        return
    from headrace_llm.adapters import redis_cache, redis_gate

    url = settings.redis_url.get_secret_value()
    async with AsyncExitStack() as stack:
        client = redis_gate.connect(url, timeout_s=settings.cache_timeout_s, connections=settings.redis_connections)
        shared = redis_cache.RedisCache(await stack.enter_async_context(aclosing(client)), _shared(settings))
        stack.push_async_callback(shared.close)
        room = Room(settings.cache_entries, settings.cache_bytes, settings.cache_ttl_s)
        models = CachedModels(inner, shared, room, _flight(settings))
        stack.push_async_callback(models.close)
        if warm:
            claim = partial(shared.claim, "warm-up", for_s=settings.warm_up_call_s)
            work = warm_up.run(models, warm, claim, limit_s=settings.warm_up_s)
            stack.push_async_callback(_cancelled, asyncio.create_task(work, name="llm warm-up"))
        yield models


def load_warm_up(settings: LlmSettings, registry: Registry) -> Sequence[ChatRequest]:
    """Read the warm-up list, if there is one. Raises `InvalidWarmUp`."""
    path = settings.warm_up_file
    if path is None:
        return ()
    if not settings.cache:
        raise InvalidWarmUp(str(path), [Fault(0, "", "nothing would be kept: HEADRACE_LLM_CACHE is false")])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidWarmUp(str(path), [Fault(0, "", f"cannot be read: {error}")]) from error
    return warm_up_file.parse(
        text,
        registry,
        max_entries=settings.warm_up_entries,
        deadline_s=settings.warm_up_call_s,
        source=str(path),
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _shared(settings: LlmSettings) -> SharedRoom:
    return SharedRoom(
        ttl_s=settings.cache_ttl_s,
        total_bytes=settings.cache_redis_bytes,
        value_bytes=settings.cache_value_bytes,
        lease_s=settings.cache_lease_s,
        retry_s=settings.redis_retry_s,
    )


def _flight(settings: LlmSettings) -> single_flight.Bounds:
    return single_flight.Bounds(
        join_share=settings.cache_join_share, lease_s=settings.cache_lease_s, poll_s=settings.cache_poll_s
    )
