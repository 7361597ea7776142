"""Vectors of a few texts, for services that have no model: no workspace is read, and nothing is kept."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from headrace_llm.embeddings import Embedder
from headrace_runtime.errors import DeadlineExceeded, ResourceExhausted

from headrace_rag import metrics

RETRY_S = 1.0
"""When a place may be free again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many and how long."""

    slots: int
    """Calls at once: one is computed, the others wait."""
    longest_s: float
    """How long a call may take whose caller has no deadline."""


class Embeddings:
    """The use case of `Embed`."""

    def __init__(self, embedder: Embedder, limits: Limits) -> None:
        self._embedder = embedder
        self._limits = limits
        self._open = 0

    @property
    def model(self) -> str:
        """Names the vectors: those of other names cannot be compared with them."""
        return self._embedder.name

    async def embed(self, texts: Sequence[str], *, budget_s: float | None) -> Sequence[Sequence[float]]:
        """A unit vector for each text. Raises `ResourceExhausted` and `DeadlineExceeded`."""
        if self._open >= self._limits.slots:
            metrics.EMBEDS.labels("refused").inc()
            text = f"{self._open} calls for vectors wait already"
            raise ResourceExhausted(text, reason="TOO_MANY_EMBEDS", retry_after_s=RETRY_S)
        allowed_s = self._limits.longest_s if budget_s is None else min(self._limits.longest_s, budget_s)
        self._open += 1
        result = "failed"
        try:
            with metrics.EMBEDDING.track_inprogress(), metrics.EMBED_SECONDS.time():
                async with asyncio.timeout(allowed_s):
                    vectors = await self._embedder.embed(texts)
            result = "ok"
            found: Sequence[Sequence[float]] = vectors.tolist()
            return found
        except TimeoutError:
            result = "late"
            raise DeadlineExceeded("the vectors took too long") from None
        finally:
            self._open -= 1
            metrics.EMBEDS.labels(result).inc()
