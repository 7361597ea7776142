"""How long a prompt is, before anybody has counted. Pure."""

from collections.abc import Iterable


def estimate_tokens(texts: Iterable[str]) -> int:
    """About how many tokens a prompt has: four ASCII letters or one other character each, and four for each message."""
    total = 0
    for text in texts:
        wide = sum(1 for char in text if char > "\x7f") if not text.isascii() else 0
        total += 4 + wide + (len(text) - wide + 3) // 4
    return total
