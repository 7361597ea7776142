"""A call at the gate, and what it gets there."""

import asyncio
from dataclasses import dataclass
from enum import Enum

from headrace_llm.ports import Ask


class Place(Enum):
    """Which queue a call waits in."""

    NOWHERE = 0
    SHARED = 1
    OWN = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """A call may go."""

    now_us: int
    shared: bool


@dataclass(slots=True, eq=False)
class Waiting:
    """A call of this process at the gate."""

    id: str
    number: int
    ask: Ask
    weight: float
    age_us: int
    until: float
    """On the loop's clock."""
    turn: asyncio.Future[Turn]
    place: Place = Place.NOWHERE
    timer: asyncio.TimerHandle | None = None
    """Ends the wait."""

    @property
    def went(self) -> bool:
        """Whether it got its turn."""
        return self.turn.done() and not self.turn.cancelled() and self.turn.exception() is None

    @property
    def rank(self) -> int:
        """Its class, from 0."""
        return self.ask.priority - 1
