"""Vectors of texts that are longer than the model reads: the mean of their windows' vectors."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from headrace_llm.embeddings import MAX_TOKENS, Embedder

from headrace_rag.adapters.lightrag_index.tokens import Tokens

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WINDOW_TOKENS = MAX_TOKENS - 2
"""The model's own beginning and end need two."""
WINDOWS_AT_ONCE = 2
"""The embedder serves one call at a time: a search that comes while a document is read waits for no more than these."""


class Vectors:
    """Makes one unit vector per text, of any length."""

    def __init__(self, embedder: Embedder, tokens: Tokens) -> None:
        self._embedder = embedder
        self._tokens = tokens

    @property
    def name(self) -> str:
        """Names the weights and how longer texts are read: vectors of other names cannot be compared with these."""
        return f"{self._embedder.name}-m{WINDOW_TOKENS}"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._embedder.dimensions

    async def embed(self, texts: Sequence[str]) -> "npt.NDArray[np.float32]":
        """An array [len(texts), dimensions] of unit vectors."""
        import numpy as np

        cut = [self._tokens.windows(text, size=WINDOW_TOKENS) for text in texts]
        windows = tuple(chain.from_iterable(cut))
        parts = [windows[at : at + WINDOWS_AT_ONCE] for at in range(0, len(windows), WINDOWS_AT_ONCE)]
        found = np.concatenate([await self._embedder.embed([window.text for window in part]) for part in parts])
        if len(windows) == len(texts):
            return found
        weights = np.array([max(1, window.tokens) for window in windows], dtype=np.float32)
        starts = np.cumsum([0, *(len(parts) for parts in cut[:-1])])
        sums = np.add.reduceat(found * weights[:, None], starts, axis=0)
        unit: npt.NDArray[np.float32] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-12))
        return unit
