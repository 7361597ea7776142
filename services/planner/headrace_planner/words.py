"""Texts as their words, so that what differs in case, width, marks and spaces is the same. Pure."""

import re
import unicodedata

_CJK = "\u3040-\u30ff\u3400-\u9fff"
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")


def normalised(text: str) -> str:
    """NFKC with single spaces. Case stays: it may carry meaning."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, and each CJK character by itself."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def is_cjk(text: str) -> bool:
    """Whether a text has a CJK character."""
    return _CJK_CHARACTER.search(text) is not None
