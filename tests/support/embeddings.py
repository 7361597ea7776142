"""Vectors that tests can foretell."""

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from headrace_executor.memories import Vectors
from headrace_runtime import errors

DIMENSIONS = 64


@dataclass
class WordEmbedder:
    """Implements `embeddings.Embedder`: texts are alike by the words that they share. `gate` holds it back."""

    name: str = "words"
    dimensions: int = DIMENSIONS
    gate: asyncio.Event | None = None
    texts: list[str] = field(default_factory=list)

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if self.gate is not None:
            await self.gate.wait()
        self.texts.extend(texts)
        return np.array([vector(text) for text in texts], dtype=np.float32).reshape(len(texts), DIMENSIONS)


def vector(text: str) -> list[float]:
    """A unit vector with a place for each word."""
    counts = np.zeros(DIMENSIONS)
    for word in text.casefold().split():
        counts[zlib.crc32(word.encode()) % DIMENSIONS] += 1
    length = np.linalg.norm(counts)
    return [float(part) for part in (counts / length if length else counts)]


@dataclass
class FakeEmbeddings:
    """Implements `memories.Embeddings` over `WordEmbedder`, as the rag service would; it fails while `error` is set."""

    embedder: WordEmbedder = field(default_factory=WordEmbedder)
    error: errors.ServiceError | None = None
    calls: list[list[str]] = field(default_factory=list)

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> Vectors:
        assert len(texts) <= 32
        assert sum(map(len, texts)) <= 16_384
        assert timeout_s > 0
        self.calls.append(list(texts))
        if self.error is not None:
            raise self.error
        return Vectors(self.embedder.name, (await self.embedder.embed(texts)).tolist())
