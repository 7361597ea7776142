"""Cuts a text into chunks where a reader would: before headings, between paragraphs, lines, sentences, words. Pure."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_SEAMS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?;:])\s+|(?<=[。！？；：])"),
    re.compile(r"\s+|(?<=[,，、])"),
)
"""Where a text may be cut, the best first. A seam belongs to what stands before it."""
MAX_TOKEN_CHARS = 20
"""A text longer than its limit of tokens times this is cut without counting: a count of a whole book takes 100 MB."""
_HEADING = re.compile(r"\s*#{1,6}\s")


class Chunk(NamedTuple):
    """A part of a text."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How large chunks are, in tokens."""

    limit: int
    overlap: int
    """What a chunk repeats of the end of the one before, at most."""


def chunks(text: str, cut: Cut, *, count: Callable[[str], int]) -> Sequence[Chunk]:
    """Cut a text; every character that is not white space is in a chunk. `count` gives a text's length in tokens.

    Counting piece by piece may be one or two tokens off for the whole, as a model's tokens span seams; a caller who has
    a hard limit leaves room for that.
    """
    return [Chunk(text, tokens) for text, tokens in _packed(_pieces(text, cut.limit, 0, count), cut) if text]


def _pieces(text: str, limit: int, level: int, count: Callable[[str], int]) -> Iterator[Chunk]:
    if len(text) <= limit * MAX_TOKEN_CHARS:
        tokens = count(text)
        if tokens <= limit or len(text) <= 1:
            yield Chunk(text, tokens)
            return
    for part in _parts(text, level):
        yield from _pieces(part, limit, level + (level < len(_SEAMS)), count)


def _parts(text: str, level: int) -> Iterator[str]:
    if level >= len(_SEAMS):
        middle = len(text) // 2
        yield from (text[:middle], text[middle:])
        return
    start = 0
    for seam in _SEAMS[level].finditer(text):
        if seam.end() > start:
            yield text[start : seam.end()]
            start = seam.end()
    if start < len(text):
        yield text[start:]


def _packed(pieces: Iterator[Chunk], cut: Cut) -> Iterator[Chunk]:
    held: deque[Chunk] = deque()
    tokens = 0
    fresh = False
    for piece in pieces:
        heading = bool(_HEADING.match(piece.text)) and tokens >= cut.limit // 2
        if fresh and (heading or tokens + piece.tokens > cut.limit):
            yield _joined(held)
            room = 0 if heading else min(cut.overlap, cut.limit - piece.tokens)
            while held and tokens > room:
                tokens -= held.popleft().tokens
        held.append(piece)
        tokens += piece.tokens
        fresh = True
    if fresh:
        yield _joined(held)


def _joined(held: Sequence[Chunk] | deque[Chunk]) -> Chunk:
    return Chunk("".join(piece.text for piece in held).strip(), sum(piece.tokens for piece in held))
