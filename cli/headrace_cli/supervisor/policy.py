"""When an ended process is started again. Pure: no clock, no random, no I/O."""

from dataclasses import dataclass
from enum import StrEnum

SETTINGS_EXIT_CODE = 2
"""A service whose settings are wrong ends with it (headrace_runtime.settings.load); starting it again would not help."""


class Action(StrEnum):
    """What to do about a process that ended."""

    RESTART = "restart"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class BackOff:
    """The limits of restarting."""

    first_s: float = 0.2
    """The wait before the first restart."""
    factor: float = 2.0
    max_s: float = 30.0
    """No wait is longer."""
    stable_s: float = 30.0
    """A process that was ready for this long has its failures forgotten."""
    start_attempts: int = 3
    """Attempts of a process that has never been ready before everything is given up."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One process's end."""

    exit_code: int | None
    """Negative for a signal; None when it was killed because it did not become ready in time."""
    ready_s: float
    """How long it had been ready; 0 when it never was."""
    ever_ready: bool
    """Whether this or an earlier process of the same part had become ready."""
    failures: int
    """Ends in a row before this one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from an ending."""

    action: Action
    delay_s: float
    failures: int
    """Ends in a row, this one included."""
    reason: str


def after_end(ending: Ending, limits: BackOff) -> Decision:
    """Decide about a part whose process ended without being asked to."""
    how = describe(ending.exit_code)
    failures = 1 if ending.ready_s >= limits.stable_s else ending.failures + 1
    if not ending.ever_ready:
        if ending.exit_code is None:
            return Decision(Action.GIVE_UP, 0.0, failures, how)
        if ending.exit_code == SETTINGS_EXIT_CODE:
            return Decision(Action.GIVE_UP, 0.0, failures, "its settings are wrong")
        if failures >= limits.start_attempts:
            return Decision(Action.GIVE_UP, 0.0, failures, f"{how}, {failures} times")
    return Decision(Action.RESTART, delay_s(failures, limits), failures, how)


def after_start_failure(reason: str, *, failures: int, limits: BackOff) -> Decision:
    """Decide about a part that has been ready before and whose new process could not even be started."""
    return Decision(Action.RESTART, delay_s(failures + 1, limits), failures + 1, reason)


def delay_s(failures: int, limits: BackOff) -> float:
    """The wait before the restart after this many ends in a row (1 or more)."""
    wait = limits.first_s
    for _ in range(failures - 1):
        wait *= limits.factor
        if wait >= limits.max_s:
            return limits.max_s
    return min(wait, limits.max_s)


def describe(exit_code: int | None) -> str:
    """How a process ended, as words."""
    if exit_code is None:
        return "it was not ready in time"
    return f"it ended by signal {-exit_code}" if exit_code < 0 else f"it ended with code {exit_code}"
