"""A model that answers at once, so that a benchmark measures us and not a model."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from headrace_llm.client import ChatRequest, Completion, ModelSignals
from headrace_llm.registry import Registry
from headrace_llm.usage import ModelUsage, Usage

CHUNKS = 20
FLOOD = 20_000


class InstantModel:
    """Streams `CHUNKS` pieces without waiting."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer at once."""
        request.on_cost(self._usage())
        return Completion("word " * CHUNKS, self.registry.default, self._usage())

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        """Answer at once, in pieces. A prompt that starts with WAIT waits for its deadline, one with FLOOD gives many."""
        prompt = request.messages[-1].content
        if prompt.startswith("WAIT"):
            await asyncio.sleep(request.deadline_s)
        for _ in range(FLOOD if prompt.startswith("FLOOD") else CHUNKS):
            await asyncio.sleep(0)
            yield "word "
        request.on_cost(self._usage())
        yield Completion("word " * CHUNKS, self.registry.default, self._usage())

    def signals(self) -> Sequence[ModelSignals]:
        """No gate, no signals."""
        return ()

    def _usage(self) -> Usage:
        return Usage({self.registry.default: ModelUsage(1, 0, 10, CHUNKS, 0.0)})
