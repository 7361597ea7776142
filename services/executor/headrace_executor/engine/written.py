"""Texts as names are looked for in them: normalised, with the borders of words, also in scripts that write none. Pure."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_NUMERALS = frozenset("〇零一二三四五六七八九十百千万两")
_WITHOUT_BORDERS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "IDEOGRAPHIC")
"""How the names of letters begin that are written without spaces between words."""


@dataclass(frozen=True, slots=True)
class Normal:
    """A normalised text and where each of its characters was."""

    text: str
    places: Sequence[tuple[int, int]]

    @staticmethod
    def of(text: str) -> "Normal":
        """Normalise: NFKC, case folded, any run of spaces as one."""
        letters: list[str] = []
        places: list[tuple[int, int]] = []
        start = 0
        while start < len(text):
            end = start + 1
            while end < len(text) and _belongs(text[end]):
                end += 1
            for letter in unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text[start:end]).casefold()):
                if letter.isspace():
                    if letters and letters[-1] == " ":
                        continue
                    letter = " "
                letters.append(letter)
                places.append((start, end))
            start = end
        return Normal("".join(letters), places)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the normalised text, which is not empty, is in the text as it was written."""
        return self.places[start][0], self.places[end - 1][1]


def _belongs(letter: str) -> bool:
    """Whether it is one with the letter before: an accent, or a part of a syllable."""
    return unicodedata.combining(letter) != 0 or unicodedata.category(letter) == "Mn" or letter in "ﾞﾟ" or "ᅠ" <= letter <= "ᇿ"


def normalised(text: str) -> str:
    """A text as names are compared."""
    return Normal.of(text).text.strip()


def words(text: str) -> Iterator[tuple[int, int]]:
    """Where the words of a normalised text are."""
    start = None
    for at, letter in enumerate(f"{text} "):
        if _in_word(letter):
            start = at if start is None else start
        elif start is not None:
            yield start, at
            start = None


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_" or unicodedata.category(letter).startswith("M")


def joined(text: str, at: int) -> bool:
    """Whether the characters on both sides of a place are of one word, or of one number."""
    if at <= 0 or at >= len(text):
        return False
    before, after = text[at - 1], text[at]
    if not (_in_word(before) and _in_word(after)):
        return _in_number(text, at)
    if before in _NUMERALS and after in _NUMERALS:
        return True
    return not (without_borders(before) or without_borders(after))


def _in_number(text: str, at: int) -> bool:
    """Whether a place is beside the point inside a number such as 3.5."""
    for point in (at - 1, at):
        if 0 < point < len(text) - 1 and text[point] in ".,":
            return text[point - 1].isdigit() and text[point + 1].isdigit()
    return False


def without_borders(letter: str) -> bool:
    """Whether a letter is of a script that writes no spaces between words."""
    return not letter.isascii() and unicodedata.name(letter, "").startswith(_WITHOUT_BORDERS)
