"""Which form of a page a client wants, from the Accept header (RFC 9110, 12.5.1). Pure."""

from typing import Literal

Format = Literal["json", "html", "markdown"]

MAX_RANGES = 32
"""Ranges of an Accept header that are read; more say nothing."""
_FORMATS: dict[str, Format] = {"application/json": "json", "text/html": "html", "text/markdown": "markdown"}
EVENTS = "text/event-stream"


def wanted(accept: str) -> Format:
    """The form that the header wants most; JSON when it does not care, or wants what there is not."""
    named = [(weight, -place, _FORMATS[kind]) for place, (kind, weight) in enumerate(_ranges(accept)) if kind in _FORMATS]
    best = max(named, default=(0.0, 0, "json"))
    return best[2] if best[0] > 0 else "json"


def accepts_events(accept: str) -> bool:
    """Whether the header names server-sent events."""
    return any(kind == EVENTS and weight > 0 for kind, weight in _ranges(accept))


def _ranges(accept: str) -> list[tuple[str, float]]:
    found = []
    for one in accept.split(",")[:MAX_RANGES]:
        kind, *parameters = (part.strip().lower() for part in one.split(";"))
        found.append((kind, _weight(parameters)))
    return found


def _weight(parameters: list[str]) -> float:
    for one in parameters:
        name, _, value = one.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
