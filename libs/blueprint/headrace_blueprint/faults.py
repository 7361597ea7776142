"""What is wrong with a blueprint, and where. Plain data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a blueprint."""

    pointer: str
    """RFC 6901 JSON pointer to the place, "" for the whole document."""
    message: str
    hint: str = ""
    """What to do about it; may be empty."""


class InvalidBlueprint(Exception):
    """A document is no blueprint; `faults` says why and is never empty."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        rest = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"{first.pointer or '/'}: {first.message}{rest}")
        self.faults = tuple(faults)


def pointer(parts: Iterable[str | int]) -> str:
    """Write a path as an RFC 6901 JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
