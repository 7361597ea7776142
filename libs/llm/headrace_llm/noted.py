"""A model client that notes where a run's calls stand at the gate, for who has the run in another process."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import cast

from headrace_llm.client import ChatRequest, Completion, ModelClient, ModelSignals, Restarted
from headrace_llm.ports import Waits
from headrace_llm.registry import Registry


class NotedModels:
    """Implements `client.ModelClient` around another one. A request that names an `on_wait` of its own is not noted."""

    def __init__(self, inner: ModelClient, waits: Waits) -> None:
        self._inner = inner
        self._waits = waits

    @property
    def registry(self) -> Registry:
        """See `ModelClient`."""
        return self._inner.registry

    async def complete(self, request: ChatRequest) -> Completion:
        """See `ModelClient`."""
        return await self._inner.complete(self._noting(request))

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        """See `ModelClient`."""
        asked = self._inner.stream(self._noting(request))
        async with aclosing(cast("AsyncGenerator[str | Restarted | Completion, None]", asked)) as items:
            async for item in items:
                yield item

    def signals(self) -> Sequence[ModelSignals]:
        """See `ModelClient`."""
        return self._inner.signals()

    def _noting(self, request: ChatRequest) -> ChatRequest:
        if not request.run_id or request.on_wait is not None:
            return request
        return replace(request, on_wait=partial(self._waits.note, request.run_id))
