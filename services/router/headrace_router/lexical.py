"""Likeness of texts by the words that they share: TF-IDF over words and pairs of neighbours. Pure.

A word is a run of Latin letters and digits, a single CJK character, or a mark; so a pair of Chinese characters counts too.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, sqrt

import numpy as np
import numpy.typing as npt

CJK = "\u3040-\u30ff\u3400-\u9fff"
"""Kana and unified ideographs, as a regular expression's class."""

_WORD = re.compile(rf"[a-z0-9']+|[{CJK}]|[^\sa-z0-9]")
_CJK_CHARACTER = re.compile(f"[{CJK}]")
_LETTER = re.compile(r"[^\W\d_]")

CJK_SHARE = 0.2
"""A text counts as Chinese when at least this share of its letters is CJK: a character weighs as much as a Latin word."""

Gram = tuple[str, ...]


def normalise(text: str) -> str:
    """One form for texts that differ only in case, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def is_cjk(text: str) -> bool:
    """Whether a text is written mainly in Chinese or Japanese."""
    letters = len(_LETTER.findall(text))
    return letters > 0 and len(_CJK_CHARACTER.findall(text)) >= CJK_SHARE * letters


def grams(text: str) -> Counter[Gram]:
    """A text's words and pairs of neighbours, its two ends included."""
    words = ["", *_WORD.findall(normalise(text)), ""]
    return Counter([*((word,) for word in words[1:-1]), *pairwise(words)])


@dataclass(frozen=True, slots=True)
class Index:
    """Texts to compare with. A gram that no text has still counts against the likeness of whoever brings it."""

    size: int
    weights: Mapping[Gram, float]
    """Inverse document frequency."""
    unknown: float
    """The weight of a gram that no text has."""
    postings: Mapping[Gram, tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]]
    """For each gram the texts that have it, and its part in each one's unit vector."""

    @staticmethod
    def of(texts: Sequence[str]) -> "Index":
        """Read the texts once."""
        counted = [grams(text) for text in texts]
        frequency = Counter(gram for one in counted for gram in one)
        weights = {gram: _rarity(len(texts), count) for gram, count in frequency.items()}
        found: dict[Gram, list[tuple[int, float]]] = defaultdict(list)
        for row, one in enumerate(counted):
            for gram, part in _unit(one, weights, 0.0).items():
                found[gram].append((row, part))
        postings = {gram: _columns(rows) for gram, rows in found.items()}
        return Index(len(texts), weights, _rarity(len(texts), 0), postings)

    def likeness(self, text: str) -> npt.NDArray[np.float32]:
        """The cosine of `text` with each text of the index, 0 to 1."""
        result = np.zeros(self.size, dtype=np.float32)
        for gram, part in _unit(grams(text), self.weights, self.unknown).items():
            posting = self.postings.get(gram)
            if posting is not None:
                rows, parts = posting
                result[rows] += np.float32(part) * parts
        return np.minimum(result, np.float32(1.0))


def _rarity(texts: int, having: int) -> float:
    return log((1 + texts) / (1 + having)) + 1


def _unit(counts: Mapping[Gram, int], weights: Mapping[Gram, float], unknown: float) -> dict[Gram, float]:
    raw = {gram: (1 + log(count)) * weights.get(gram, unknown) for gram, count in counts.items()}
    length = sqrt(sum(part * part for part in raw.values()))
    return {gram: part / length for gram, part in raw.items()}


def _columns(rows: Iterable[tuple[int, float]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    indices, parts = zip(*rows, strict=True)
    return np.array(indices, dtype=np.intp), np.array(parts, dtype=np.float32)
