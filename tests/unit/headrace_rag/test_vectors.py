"""Texts longer than the model reads have vectors of all that they say."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from headrace_rag.adapters.lightrag_index.tokens import Tokens
from headrace_rag.adapters.lightrag_index.vectors import WINDOW_TOKENS, Vectors


class Letters:
    """Embeds by which of two words a text has."""

    name, dimensions = "letters", 2

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.texts.extend(texts)
        counts = np.array([[text.count("grain"), text.count("water")] for text in texts], dtype=np.float32)
        unit: npt.NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return unit


async def test_short_texts_go_as_they_are() -> None:
    letters = Letters()
    found = await Vectors(letters, Tokens.load()).embed(["grain", "water water"])

    assert letters.texts == ["grain", "water water"]
    assert found.tolist() == [[1, 0], [0, 1]]


async def test_a_long_text_is_the_weighted_mean_of_its_windows() -> None:
    letters = Letters()
    long = "grain " * WINDOW_TOKENS + "water " * (WINDOW_TOKENS // 2)
    found = await Vectors(letters, Tokens.load()).embed(["water", long, "grain"])

    assert len(letters.texts) == 4
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    assert np.allclose(found, np.array([[0, 1], [2 / 5**0.5, 1 / 5**0.5], [1, 0]]), atol=1e-3)


def test_the_way_of_reading_long_texts_is_part_of_the_name() -> None:
    assert Vectors(Letters(), Tokens.load()).name == f"letters-m{WINDOW_TOKENS}"
