"""What a run looks like so far, and the pieces that a terminal shows. Plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Any


class Kind(StrEnum):
    """What a piece is, for who styles it."""

    STAGE = "stage"
    DONE = "done"
    CUT = "cut"
    """A step that was closed and is not done."""
    GAP = "gap"
    """A node that failed and was not needed."""
    NOTE = "note"
    ASK = "ask"
    """A question of the run to its user."""
    ERROR = "error"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to show. A TEXT continues its line; any other kind is a line of its own."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is not shown yet."""

    text: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What has been shown of a run."""

    run_id: str = ""
    session_id: str = ""
    started: Mapping[str, float] = field(default_factory=dict)
    """Open steps and when they were opened, seconds of the caller's clock."""
    items: Mapping[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)
    """By map step, its items' steps that are done, and those that were cut off or left gaps."""
    gaps: frozenset[str] = frozenset()
    """Steps that failed and were not needed."""
    skipped: frozenset[str] = frozenset()
    """Steps that were not to run."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Titles of a page's slots by the node that fills them."""
    speaking: str = ""
    """The message whose tokens are being shown."""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """Messages that wait for it, in order."""
    intent: str = ""
    """What the router found."""
    origin: str = ""
    """Where the plan came from."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Open tool calls and their names."""
    result: Json = None
    outcome: str = ""
    """Set at the end: success, cancelled, interrupt, or error."""
    interrupts: Sequence[Mapping[str, Json]] = ()
    """What the run asks back, as AG-UI has it; the outcome is then interrupt."""
    said: int = 0
    """Characters of text shown."""
