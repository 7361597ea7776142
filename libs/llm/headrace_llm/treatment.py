"""What is done about a failed call, by the class of its error. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from headrace_llm.errors import ErrorClass


class Repeat(Enum):
    """Whether the same model is asked again."""

    NEVER = auto()
    PACED = auto()
    """By the gate, which has the pause."""
    BACK_OFF = auto()
    """After a pause of our own, within the retry budget."""
    ALONE = auto()
    """Like BACK_OFF, but once, and only when no other model is left."""


class Move(Enum):
    """Whether the next model is asked."""

    NEVER = auto()
    YES = auto()
    ONCE = auto()
    """Not a second time for the same reason."""
    LARGER = auto()
    """Only one that reads more."""
    MEANWHILE = auto()
    """This one again when the others refuse too."""


class Blame(Enum):
    """What the failure says of the model's health, to its breaker."""

    HEALTHY = auto()
    """It answers, if not as one would like."""
    FAILED = auto()
    SLOW = auto()
    """Failed if it had a fair time."""
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Treatment:
    """A row of the table."""

    repeat: Repeat
    move: Move
    blame: Blame


TREATMENTS: Mapping[ErrorClass, Treatment] = {
    ErrorClass.THROTTLED: Treatment(Repeat.PACED, Move.MEANWHILE, Blame.NOTHING),
    ErrorClass.TRANSIENT: Treatment(Repeat.BACK_OFF, Move.YES, Blame.FAILED),
    ErrorClass.HUNG: Treatment(Repeat.ALONE, Move.YES, Blame.FAILED),
    ErrorClass.TIMEOUT: Treatment(Repeat.NEVER, Move.YES, Blame.SLOW),
    ErrorClass.CONTENT: Treatment(Repeat.NEVER, Move.ONCE, Blame.HEALTHY),
    ErrorClass.AUTH: Treatment(Repeat.NEVER, Move.YES, Blame.FAILED),
    ErrorClass.REQUEST: Treatment(Repeat.NEVER, Move.NEVER, Blame.HEALTHY),
    ErrorClass.TOO_LONG: Treatment(Repeat.NEVER, Move.LARGER, Blame.HEALTHY),
    ErrorClass.ANSWER: Treatment(Repeat.NEVER, Move.NEVER, Blame.HEALTHY),
    ErrorClass.GATE: Treatment(Repeat.NEVER, Move.MEANWHILE, Blame.NOTHING),
    ErrorClass.BREAKER: Treatment(Repeat.NEVER, Move.MEANWHILE, Blame.NOTHING),
}


def repeats(repeat: Repeat, *, most: int, alone: bool, begun: bool) -> int:
    """How often the same model may be asked again.

    `alone`: nobody else is left. `begun`: a reader has seen a part of the answer and should see it void once at most.
    """
    once = min(most, int(alone))
    match repeat:
        case Repeat.NEVER:
            return 0
        case Repeat.ALONE:
            return once
        case Repeat.BACK_OFF if begun:
            return once
        case _:
            return most
