"""A model that answers at once, so that a benchmark measures us and not a model."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from headrace_llm.client import ChatRequest, Completion, ModelSignals
from headrace_llm.registry import Registry
from headrace_llm.usage import ModelUsage, Usage

CHUNKS = 20


class InstantModel:
    """Streams `CHUNKS` pieces without waiting."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer at once."""
        return Completion("word " * CHUNKS, self.registry.default, self._usage())

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        """Answer at once, in pieces; a prompt that starts with WAIT waits for its deadline."""
        if request.messages[-1].content.startswith("WAIT"):
            await asyncio.sleep(request.deadline_s)
        for _ in range(CHUNKS):
            yield "word "
        yield Completion("word " * CHUNKS, self.registry.default, self._usage())

    def signals(self) -> Sequence[ModelSignals]:
        """No gate, no signals."""
        return ()

    def _usage(self) -> Usage:
        return Usage({self.registry.default: ModelUsage(1, 0, 10, CHUNKS, 0.0)})
