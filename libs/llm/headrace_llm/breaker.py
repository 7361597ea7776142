"""A circuit breaker as a pure function: (state, what happened, now) → state. Times in seconds of any one clock.

Closed, it counts. It opens after so many failures in a row, or when too great a part of the calls in the window failed.
Open, nobody asks the model; when the time is over it lets one call through to see (half open): an answer closes it, a
failure opens it for twice as long, up to a limit.

Each call gets the state's `era` when it is admitted and comes back with it: what a call tells that was admitted before the
last change is old news and changes nothing. In the half-open era only the probe was admitted.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto


class Mode(Enum):
    """Where a breaker is."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Outcome(Enum):
    """What a call says of the model."""

    ANSWERED = auto()
    FAILED = auto()
    NOTHING = auto()
    """The caller left, say."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When it opens, and for how long; `LlmSettings` explains each."""

    consecutive: int = 8
    ratio: float = 0.5
    min_calls: int = 20
    window_s: float = 60.0
    open_s: float = 5.0
    max_open_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Tally:
    """The calls of half a window."""

    since: float = 0.0
    answered: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Breaker:
    """A breaker's state."""

    mode: Mode = Mode.CLOSED
    era: int = 0
    """Grows with each change of the mode."""
    until: float = 0.0
    """End of the open time."""
    openings: int = 0
    """How often it has opened since it was last closed."""
    in_a_row: int = 0
    now: Tally = Tally()
    before: Tally = Tally()


def blocked_s(state: Breaker, rules: BreakerRules, now: float) -> float:
    """How long nobody is admitted; 0 when one is. While a probe is under way: the shortest open time."""
    if state.mode is Mode.CLOSED:
        return 0.0
    return max(0.0, state.until - now) if state.mode is Mode.OPEN else rules.open_s


def admit(state: Breaker, now: float) -> tuple[Breaker, int | None]:
    """Let a call through: the era that it comes back with, None when it is refused."""
    match state.mode:
        case Mode.CLOSED:
            return state, state.era
        case Mode.OPEN if now >= state.until:
            probing = replace(state, mode=Mode.HALF_OPEN, era=state.era + 1)
            return probing, probing.era
        case _:
            return state, None


def observe(state: Breaker, rules: BreakerRules, outcome: Outcome, *, era: int, now: float) -> Breaker:
    """Count what an admitted call tells, once for each call."""
    if era != state.era:
        return state
    if state.mode is Mode.HALF_OPEN:
        match outcome:
            case Outcome.ANSWERED:
                return Breaker(era=era + 1)
            case Outcome.FAILED:
                return _opened(state, rules, now)
            case Outcome.NOTHING:
                return replace(state, mode=Mode.OPEN, era=era + 1, until=now)
    if outcome is Outcome.NOTHING:
        return state
    state = _counted(_turned(state, rules, now), failed=outcome is Outcome.FAILED)
    return _opened(state, rules, now) if _failing(state, rules) else state


def _turned(state: Breaker, rules: BreakerRules, now: float) -> Breaker:
    """Begin a new half of the window when the present one is over."""
    age = now - state.now.since
    half = rules.window_s / 2
    if age < half:
        return state
    return replace(state, before=state.now if age < 2 * half else Tally(), now=Tally(since=now))


def _counted(state: Breaker, *, failed: bool) -> Breaker:
    now = replace(state.now, answered=state.now.answered + (not failed), failed=state.now.failed + failed)
    return replace(state, now=now, in_a_row=state.in_a_row + 1 if failed else 0)


def _failing(state: Breaker, rules: BreakerRules) -> bool:
    if state.in_a_row >= rules.consecutive:
        return True
    failed = state.before.failed + state.now.failed
    calls = failed + state.before.answered + state.now.answered
    return state.in_a_row > 0 and calls >= rules.min_calls and failed >= rules.ratio * calls


def _opened(state: Breaker, rules: BreakerRules, now: float) -> Breaker:
    open_s = min(rules.open_s * 2.0 ** min(state.openings, 32), rules.max_open_s)
    return Breaker(Mode.OPEN, state.era + 1, now + open_s, state.openings + 1)
