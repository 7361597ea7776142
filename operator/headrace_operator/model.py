"""The operator's nouns: what a scaler wants, what was seen, what was decided. Plain values, no client, no clock."""

from dataclasses import dataclass, field
from enum import StrEnum


class LimitedBy(StrEnum):
    """Why the wanted number of executors is what it is; the value shows in `kubectl get`."""

    DEMAND = "Demand"
    QUOTA = "Quota"
    THROTTLING = "Throttling"
    NODE_BUDGET = "NodeBudget"
    MIN = "Min"
    MAX = "Max"
    RATE = "Rate"
    """The rate of change, or a stabilisation window, keeps it from moving further yet."""
    SIGNALS = "Signals"
    """Signals are missing or stale: the present scale is held."""
    PINNED = "Pinned"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True)
class ModelSignals:
    """One model's gate as the executors see it. Rates are requests a minute; ratios are 0 to 1, over the last minute."""

    model: str
    effective_rpm: float
    configured_rpm: float = 0.0
    """0 means that no limit is configured."""
    throttled_ratio: float = 0.0
    seconds_per_call: float = 0.0
    """0 means that none was seen in the last minute."""
    queue_depth: int = 0
    cooling_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Signals:
    """What the executors tell. `time` is when, in seconds of the clock that `decide` is given."""

    time: float
    queued: int
    running: int
    slots_per_replica: int
    replicas: int = 0
    oldest_wait_s: float = 0.0
    seconds_per_run: float = 0.0
    models: tuple[ModelSignals, ...] = ()
    default_model: str = ""


@dataclass(frozen=True, slots=True)
class Direction:
    """How fast the scale may move one way."""

    stabilization_s: float
    """The scale moves this way only when every decision of this many seconds would have."""
    max_step: int
    """Replicas that may come or go within `period_s`."""
    period_s: float


@dataclass(frozen=True, slots=True)
class Spec:
    """What an ExecutorScaler asks for, its defaults filled in."""

    min_replicas: int = 1
    max_replicas: int = 3
    pinned: int | None = None
    """A human's `kubectl scale`: this many, whatever the signals say."""
    paused: bool = False
    model: str = ""
    """The registry id whose quota bounds the scale; empty means the executors' default."""
    headroom: float = 0.25
    """Share by which the quota's number of executors may be exceeded, so that one waits while another ends."""
    calls_per_replica: int | None = None
    """Model calls that one executor has in flight at once; absent means its slots."""
    throttled_above: float = 0.02
    """Share of calls answered 429 from which no executor is added."""
    tolerance: float = 0.1
    """Load beyond the present scale, relative to it, that is not worth another executor; for fewer likewise."""
    max_age_s: float = 30.0
    """Signals older than this are stale."""
    up: Direction = field(default=Direction(stabilization_s=0.0, max_step=2, period_s=15.0))
    down: Direction = field(default=Direction(stabilization_s=120.0, max_step=1, period_s=30.0))
    backoff_s: float = 120.0
    """A replica that could not be had (quota refused, unschedulable, crashing) is not asked for again for this long."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The workload as it is. `refused` counts replicas that are asked for and cannot be had, and `refused_by` says why."""

    replicas: int
    ready: int
    refused: int = 0
    refused_by: str = ""
    budget: int | None = None
    """The most replicas that the node budget has room for; None means that nothing bounds it."""


@dataclass(frozen=True, slots=True)
class CallTime:
    """How long a model's calls take, averaged over more of them than a gate's own figure, and when it was last seen."""

    model: str
    seconds: float
    time: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What one decision leaves for the next one. Bounded by the longest window. A fresh one is safe after a restart."""

    wanted: tuple[tuple[float, int], ...] = ()
    """(last time, replicas) that decisions asked for, oldest first, each number once, as long ago as the longest window."""
    changes: tuple[tuple[float, int], ...] = ()
    """(time, difference) of the changes made, oldest first, as long ago as the longest period."""
    refused_until: float = 0.0
    """Until when no more than `refused_at` replicas are asked for."""
    refused_at: int = 0
    call: CallTime | None = None
    """Of the model whose quota bounds the scale."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why. `message` names the numbers; `memory` goes to the next decision."""

    replicas: int
    limited_by: LimitedBy
    message: str
    memory: Memory
    n_demand: int | None = None
    """Executors that the queue needs; None without fresh signals."""
    n_quota: int | None = None
    """Executors that the quota can feed; None when that is not known."""
    fresh: bool = False
