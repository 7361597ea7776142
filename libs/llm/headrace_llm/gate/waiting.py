"""A call at the gate, and what it gets there."""

import asyncio
import math
from dataclasses import dataclass
from enum import Enum

from headrace_llm.ports import Ask

DRIFT_US = 50.0
"""How far two clocks may come apart between two grants."""


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
    tokens: int = 0
    """What was reserved for it."""


class Lateness:
    """How late news of the shared limit is, whose clock is another one: beside the soonest that ever came."""

    def __init__(self) -> None:
        self._least = math.inf

    def of(self, told_us: float, here_us: float) -> float:
        """Microseconds that this news took longer than the soonest; clocks that drift apart are followed."""
        took = here_us - told_us
        self._least = min(self._least + DRIFT_US, took)
        return took - self._least


@dataclass(slots=True, eq=False)
class Waiting:
    """A call of this process at the gate."""

    id: str
    number: int
    ask: Ask
    tokens: int
    """What is to be reserved, as far as is known now."""
    weight: float
    age_us: int
    since: float
    until: float
    """Both on the loop's clock."""
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
