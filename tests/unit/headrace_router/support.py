"""Fakes for the router's tests."""

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from headrace_router.examples import Example
from headrace_router.model import Intent

EXAMPLES = (
    Example("hello there", Intent.CHAT, "en"),
    Example("what does the handbook say", Intent.QA, "en"),
    Example("build a page", Intent.BUILD, "en"),
    Example("make a quiz", Intent.QUIZ, "en"),
    Example("change the title", Intent.PATCH, "en"),
    Example("你好", Intent.CHAT, "zh"),
    Example("手册里怎么规定", Intent.QA, "zh"),
    Example("做一个页面", Intent.BUILD, "zh"),
    Example("出一份测验", Intent.QUIZ, "zh"),
    Example("把标题改掉", Intent.PATCH, "zh"),
)
ENGLISH = tuple(example for example in EXAMPLES if example.language == "en")


class FakeEmbedder:
    """Puts each English example on an axis of its own; any other text lies on the axis that `meanings` gives it."""

    def __init__(self, meanings: dict[str, Intent] | None = None) -> None:
        self.meanings = {example.text: example.intent for example in ENGLISH} | (meanings or {})
        self.requests: list[tuple[str, ...]] = []
        self.gate: asyncio.Event | None = None
        """When set, requests wait for it."""

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors, six wide; unknown meanings share the last axis."""
        self.requests.append(tuple(texts))
        if self.gate is not None:
            await self.gate.wait()
        vectors = np.zeros((len(texts), 6), dtype=np.float32)
        for row, text in enumerate(texts):
            meaning = self.meanings.get(text)
            vectors[row, list(Intent).index(meaning) if meaning else 5] = 1
        return vectors
