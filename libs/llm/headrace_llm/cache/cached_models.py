"""A `ModelClient` that answers what it has answered before."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from headrace_llm import metrics
from headrace_llm.cache import policy
from headrace_llm.cache.lru import Lru
from headrace_llm.cache.policy import Kept, Key
from headrace_llm.cache.ports import Shared
from headrace_llm.cache.single_flight import Bounds, Outcome, SingleFlight
from headrace_llm.client import ChatRequest, Completion, ModelClient, ModelSignals, Restarted
from headrace_llm.errors import UnknownModel
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.window import SlidingMinute

SAVED = ("hit_process", "hit_redis", "joined")
"""Outcomes that cost no call."""


@dataclass(frozen=True, slots=True)
class Room:
    """What this process keeps; `LlmSettings` explains each."""

    entries: int = 2000
    bytes: int = 16 * 1024 * 1024
    ttl_s: float = 3600.0


class CachedModels:
    """Implements `client.ModelClient` around another: this process's memory, then Redis, then one call for all who ask.

    A request that may not be cached goes straight to the inner client.
    """

    def __init__(
        self,
        inner: ModelClient,
        shared: Shared,
        room: Room,
        bounds: Bounds,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._ttl_s = room.ttl_s
        self._lru: Lru[Kept] = Lru(max_entries=room.entries, max_bytes=room.bytes, clock=clock)
        self._single = SingleFlight(inner, shared, bounds, remember=self._remember, count=self._count, clock=clock)
        self._minutes = {name: SlidingMinute(("asked", "saved"), clock=clock) for name in inner.registry.models}
        metrics.CACHE_ENTRIES.set_function(self._lru.__len__)
        metrics.CACHE_BYTES.set_function(lambda: self._lru.bytes)

    @property
    def registry(self) -> Registry:
        """See `ModelClient`."""
        return self._inner.registry

    async def complete(self, request: ChatRequest) -> Completion:
        """See `ModelClient`."""
        cached = self._cached(request)
        if cached is None:
            return await self._inner.complete(request)
        entry, key = cached
        if kept := self._recall(request, entry, key):
            return kept
        async with aclosing(self._single.answer(request, entry, key, whole=True)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    return item
        raise AssertionError("an answer ends with a Completion")

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        """See `ModelClient`."""
        cached = self._cached(request)
        return self._inner.stream(request) if cached is None else self._stream(request, *cached)

    def signals(self) -> Sequence[ModelSignals]:
        """See `ModelClient`."""
        return [replace(one, cached_ratio=self._ratio(one.model)) for one in self._inner.signals()]

    async def close(self) -> None:
        """Let Redis be told of the last answers."""
        await self._single.close()

    async def _stream(
        self, request: ChatRequest, entry: ModelEntry, key: Key
    ) -> AsyncIterator[str | Restarted | Completion]:
        if kept := self._recall(request, entry, key):
            for piece in policy.pieces(kept.text):
                yield piece
            yield kept
            return
        async with aclosing(self._single.answer(request, entry, key, whole=False)) as items:
            async for item in items:
                yield item

    def _cached(self, request: ChatRequest) -> tuple[ModelEntry, Key] | None:
        """The model and the key of a request that may be cached. What is wrong with one, the inner client says."""
        try:
            entry = self.registry.resolve(request.model)
        except UnknownModel:
            return None
        key = policy.key(request, entry) if policy.cacheable(request) and request.messages else None
        if key is None:
            self._count(entry.id, "bypass")
            return None
        return entry, key

    def _recall(self, request: ChatRequest, entry: ModelEntry, key: Key) -> Completion | None:
        kept = self._lru.get(key.digest)
        if kept is None:
            return None
        self._count(entry.id, "hit_process")
        completion = kept.completion(entry.id)
        request.on_cost(completion.usage)
        return completion

    def _remember(self, key: Key, kept: Kept, ttl_s: float | None) -> None:
        ttl_s = self._ttl_s if ttl_s is None else min(ttl_s, self._ttl_s)
        self._lru.put(key.digest, kept, size=kept.size, ttl_s=ttl_s)

    def _count(self, model: str, outcome: Outcome | Literal["bypass", "hit_process"]) -> None:
        metrics.CACHE.labels(model, outcome).inc()
        minute = self._minutes[model]
        minute.add("asked")
        if outcome in SAVED:
            minute.add("saved")

    def _ratio(self, model: str) -> float:
        asked = self._minutes[model].sum("asked")
        return self._minutes[model].sum("saved") / asked if asked else 0.0
