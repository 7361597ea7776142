"""What a session remembers, as the edge answers with it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from headrace_edge.model import Answer


@dataclass(frozen=True, slots=True)
class MemoryContent:
    """What is to be remembered."""

    value: bytes
    """JSON."""
    text: str
    """Empty: made of the value."""
    metadata: bytes
    """A JSON object."""


class MemoryEntry(Answer):
    """A memory as a search shows it."""

    key: str
    value: Any
    text: str = Field(description="What searches compare with.")
    metadata: dict[str, Any]


class Memory(MemoryEntry):
    """A memory."""

    revision: int = Field(description="1, 2, 3 …: it grows with each write; in quotes it is the ETag.")
    created_at: datetime
    updated_at: datetime


class MemoryMatch(MemoryEntry):
    """A memory that a search found."""

    score: float = Field(description="Cosine similarity of its text and the query, -1 to 1.")


class MemoryMatches(Answer):
    """What a search found."""

    items: list[MemoryMatch] = Field(description="The nearest first.")
    pending: int = Field(
        description="Memories that were not compared as nothing has read them yet; the next search goes on."
    )
    timings: dict[str, float]
