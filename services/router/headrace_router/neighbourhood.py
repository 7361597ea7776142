"""The labelled examples of one process: who votes on a message, and by what likeness.

English messages are compared by meaning and by words, Chinese ones by words alone: the embedding model has read hardly any
Chinese, and cross-validation finds that its likeness only takes away from what shared characters say.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog

from headrace_router import lexical, metrics, neighbours
from headrace_router.examples import Example
from headrace_router.excerpt import excerpt
from headrace_router.model import Vote
from headrace_router.ports import Embedder
from headrace_router.recent import Recent

WORDS_WEIGHT = 0.5
"""The part of shared words in the likeness of English texts; meaning has the rest."""
HEAD_CHARS, TAIL_CHARS = 160, 80
"""What of a long message is compared: the examples are of this length, and a vector's cost grows with the text."""
REMEMBERED = 2048
"""Votes that are kept: a message seen again costs no vector. About a kilobyte each."""
BATCH = 32
"""Examples embedded in one request, so that messages get their vectors in between."""

log = structlog.get_logger()

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Corpus:
    """The examples in one script."""

    texts: tuple[str, ...]
    kinds: neighbours.Kinds
    index: lexical.Index

    @staticmethod
    def of(examples: Sequence[Example]) -> "_Corpus":
        texts = tuple(example.text for example in examples)
        return _Corpus(texts, neighbours.kinds(example.intent for example in examples), lexical.Index.of(texts))


class Neighbourhood:
    """Votes by words from the start, and by meaning too once `learn` has been given an embedder."""

    def __init__(self, examples: Sequence[Example], *, timeout_s: float, slots: int) -> None:
        chinese = [example for example in examples if lexical.is_cjk(example.text)]
        other = [example for example in examples if not lexical.is_cjk(example.text)]
        if not chinese or not other:
            raise ValueError("examples are needed in English and in Chinese")
        self._chinese = _Corpus.of(chinese)
        self._other = _Corpus.of(other)
        self._timeout_s = timeout_s
        self._slots = slots
        self._waiting = 0
        self._embedder: Embedder | None = None
        self._vectors: Vectors | None = None
        self._recent: Recent[Vote] = Recent(REMEMBERED)
        metrics.READY.set(0)

    @property
    def ready(self) -> bool:
        """Whether messages are compared by meaning."""
        return self._vectors is not None

    async def learn(self, embedder: Embedder) -> None:
        """Embed the examples; a few seconds of one core. Messages are voted on by words meanwhile."""
        texts = self._other.texts
        parts = [await embedder.embed(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        self._vectors = np.concatenate(parts)
        self._embedder = embedder
        metrics.READY.set(1)
        log.info("examples_ready", examples=len(texts) + len(self._chinese.texts), embedded=len(texts))

    async def vote(self, message: str) -> Vote:
        """Let the examples near `message` vote."""
        text = excerpt(message, head=HEAD_CHARS, tail=TAIL_CHARS)
        if lexical.is_cjk(text):
            return neighbours.vote(self._chinese.index.likeness(text), self._chinese.kinds)
        key = lexical.normalise(text)
        known = self._recent.find(key)
        if known is not None:
            metrics.REMEMBERED.inc()
            return known
        words = self._other.index.likeness(text)
        meaning = await self._meaning(text)
        if meaning is None:
            return neighbours.vote(words, self._other.kinds)
        vote = neighbours.vote(WORDS_WEIGHT * words + (1 - WORDS_WEIGHT) * meaning, self._other.kinds)
        self._recent.put(key, vote)
        return vote

    async def _meaning(self, text: str) -> Vectors | None:
        """The likeness of `text` to each example by meaning, None when it cannot be had in time."""
        if self._embedder is None or self._vectors is None:
            metrics.WORDS_ONLY.labels("loading").inc()
            return None
        if self._waiting >= self._slots:
            metrics.WORDS_ONLY.labels("busy").inc()
            return None
        self._waiting += 1
        try:
            with metrics.WAITING.labels("vector").track_inprogress():
                async with asyncio.timeout(self._timeout_s):
                    vector = await self._embedder.embed([text])
        except TimeoutError:
            metrics.WORDS_ONLY.labels("late").inc()
            return None
        finally:
            self._waiting -= 1
        likeness: Vectors = self._vectors @ vector[0]
        return likeness
