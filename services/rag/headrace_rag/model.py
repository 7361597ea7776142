"""The nouns of the rag service. Plain data; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Space:
    """One tenant's workspace: what every call belongs to, and what no call reads across."""

    tenant_id: str
    workspace: str


class State(StrEnum):
    """Where a document is: PENDING → PROCESSING → READY | FAILED; reading it again makes it PROCESSING."""

    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class Mode(StrEnum):
    """How a search finds passages."""

    NAIVE = "naive"
    LOCAL = "local"
    GLOBAL = "global"
    HYBRID = "hybrid"
    MIX = "mix"


@dataclass(frozen=True, slots=True)
class Source:
    """A document as it was handed in."""

    document_id: str
    title: str
    text: str
    digest: bytes
    """SHA-256 of title and text."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as callers see it."""

    document_id: str
    workspace: str
    title: str
    state: State
    error: str
    """Why it failed, for people; "" otherwise."""
    characters: int
    chunks: int
    digest: bytes
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """The last document of a page; the next page begins behind it."""

    created_at: datetime
    document_id: str


@dataclass(frozen=True, slots=True)
class Passage:
    """One found chunk."""

    document_id: str
    text: str
    score: float | None = None
    """Cosine similarity with the query, -1 to 1; None where the mode gives none."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that the documents speak of."""

    name: str
    kind: str
    description: str


@dataclass(frozen=True, slots=True)
class Relation:
    """How two entities belong together."""

    source: str
    target: str
    keywords: str
    description: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, the best first."""

    passages: Sequence[Passage] = ()
    entities: Sequence[Entity] = ()
    relations: Sequence[Relation] = ()


@dataclass(frozen=True, slots=True)
class Keywords:
    """What a query is about, as graph search wants it."""

    themes: Sequence[str]
    """High level: compared with relations."""
    names: Sequence[str]
    """Low level: compared with entities."""
