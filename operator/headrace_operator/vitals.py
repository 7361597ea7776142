"""What the probes tell: whether the loop turns and the watch speaks, which a green process alone does not say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScalerVitals:
    """One loop. Ages are in seconds; None means never."""

    last_round_age_s: float | None
    """Since a round last ended, well or not."""
    last_decision_age_s: float | None
    overdue_s: float
    """How late its next round is; 0 while it is in time. Rounds that fail, the API server being away, are in time."""
    failures: int
    """Rounds in a row that failed."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """The whole operator."""

    faults: tuple[str, ...]
    """Why the process should be started anew; none means that it is alive."""
    reached: bool
    """Whether the last list of ExecutorScalers succeeded."""
    list_age_s: float | None
    watch_age_s: float | None
    """Since the watch last told anything; a quiet one may be right."""
    watch_lag_s: float
    """How long the watch owes a change that the list has shown."""
    scalers: dict[str, ScalerVitals]
