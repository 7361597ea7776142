"""A call of this process at the gate, and what it waits for."""

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
    since: float
    until: float
    """Both on the loop's clock."""
    turn: asyncio.Future[Turn]
    place: Place = Place.NOWHERE
