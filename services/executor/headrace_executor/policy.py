"""The decisions about queues and owners: admission, waits, takeovers, notices. Pure: no I/O, clock, randomness or log."""

import math
from dataclasses import dataclass
from typing import Literal

MAX_TAKEOVERS = 3
"""Owners of a run that may die without a step between them having finished; then the run fails."""
MIN_RETRY_S = 1.0
MAX_RETRY_S = 60.0
"""Shortest and longest time that a refused caller is told to wait."""
LATE = 0.25
"""The part of a told wait by which its end may move before that is told."""
GUESSED_SECONDS_PER_RUN = 5.0
"""What a run is taken to last before one has finished."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many runs may wait."""

    total: int
    per_tenant: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """What works the queue off."""

    slots: int
    """Runs that all executors together work on at once."""
    seconds_per_run: float
    """0 when no run has finished yet."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a run is not accepted, for a person to read, and when to come back."""

    message: str
    retry_after_s: float


def admit(*, queued: int, queued_of_tenant: int, limits: QueueLimits, fleet: Fleet) -> Refusal | None:
    """Decide whether one more run may wait, given those that do; None means yes."""
    if queued >= limits.total:
        what = f"{queued} runs wait, and no more than {limits.total} may"
    elif queued_of_tenant >= limits.per_tenant:
        what = f"{queued_of_tenant} runs of this tenant wait, and no more than {limits.per_tenant} may"
    else:
        return None
    # One place is free as soon as one run is claimed, but everybody who was refused comes back for it.
    delay = min(max(expected_wait_s(max(1, queued // 10), fleet), MIN_RETRY_S), MAX_RETRY_S)
    return Refusal(f"the queue is full: {what}", float(math.ceil(delay)))


def expected_wait_s(position: int, fleet: Fleet) -> float:
    """How long a run at a place in the queue (1 is next) waits for a slot, from the mean time of a run."""
    seconds = fleet.seconds_per_run or GUESSED_SECONDS_PER_RUN
    return round(position * seconds / max(1, fleet.slots), 1)


@dataclass(frozen=True, slots=True)
class Pace:
    """The gate that waiting runs' calls will wait at."""

    rpm: float
    """0 when no limit is configured."""
    wait_s: float
    """What a call that came now would wait there."""
    busy: bool
    """Whether calls wait there, or the provider refuses some."""
    calls_per_run: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """How long a run waits for its first call, and for what."""

    wait_s: float
    limited_by: Literal["slots", "quota"]


def expectation(position: int, fleet: Fleet, pace: Pace) -> Expectation:
    """What a run at a place in the queue (1 is next) waits for: a slot, and the quota of those before it."""
    slot_s = expected_wait_s(position, fleet)
    calls = (position - 1) * pace.calls_per_run
    quota_s = round(pace.wait_s + (calls * 60 / pace.rpm if pace.rpm > 0 else 0.0), 1)
    quota_binds = quota_s > 0 and (pace.busy or quota_s >= slot_s)
    return Expectation(max(slot_s, quota_s), "quota" if quota_binds else "slots")


def too_many_takeovers(takeovers: int) -> bool:
    """Whether a run fails instead of being worked on by one more executor."""
    return takeovers >= MAX_TAKEOVERS


def worth_noticing(*, told: int, position: int) -> bool:
    """Whether a run's place changed enough to tell its watchers: the first time, near the front, or by a tenth."""
    if told == 0:
        return True
    if told == position:
        return False
    return position <= 10 or abs(told - position) * 10 >= told


@dataclass(frozen=True, slots=True)
class Told:
    """What the readers of a run have last heard of a call that waits at the gate."""

    at_s: float
    """On the clock that all times are on."""
    position: int
    wait_s: float


def wait_changed(told: Told, *, now_s: float, position: int, wait_s: float, quiet_s: float) -> bool:
    """Whether a call's place changed enough to tell it, or its end moved by more than `quiet_s` and a part of the wait."""
    moved_s = abs(now_s + wait_s - told.at_s - told.wait_s)
    return worth_noticing(told=told.position, position=position) or moved_s > max(quiet_s, LATE * told.wait_s)
