"""How long a run that came now would wait for its model's quota. Pure: times and counts are arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace_edge.model import PRIORITIES
from headrace_edge.quota.model import ModelState, Quota

REMAINING = 0.5
"""The part of its calls that a run which is being worked on still has to make, on average."""
MEASURED_CALLS = 4
"""Waiting calls from which on the gate's own expected wait says how fast its queue moves."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a run, or a call that is asked directly, asks for."""

    kind: str
    priority: str
    models: Sequence[str]
    """The model that it names and those that answer in its place, in order; empty means the default one."""
    timeout_s: float | None = None
    """Of one call that is asked directly: until when its answer must be whole. None is a run."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Runs that were taken on and that no count of the executors has yet."""

    calls: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """What they are expected to make, by model and priority."""
    runs: Mapping[str, int] = field(default_factory=dict)
    """How many, by priority."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would meet."""

    model: str
    rpm: float
    """Calls a minute that the model's queue is worked off with; 0 means without a limit."""
    calls: float
    """What the run itself is expected to make."""
    calls_ahead: float
    position: int
    """Its place among the waiting runs; 1 is next."""
    wait_s: float
    """Until the quota allows its first call."""
    slot_s: float
    """Until an executor has a place for it."""
    cooling_s: float
    call_s: float
    """What a call takes once it may go, on average; 0 when none is known."""
    breaker_open: bool

    @property
    def expected_wait_s(self) -> float:
        """Until its first call, whatever it waits for."""
        return max(self.wait_s, self.slot_s)


def forecast(quota: Quota, demand: Demand, *, pending: Pending, guessed_calls: float) -> Forecast | None:
    """The shortest wait among the models that may serve the run; None when none of them is known."""
    names = demand.models or (quota.default_model,)
    known = [name for name in names if name in quota.models]
    calls = 1.0 if demand.timeout_s is not None else _calls(quota, demand.kind, guessed_calls)
    found = [_of_model(quota, name, demand, calls, pending, guessed_calls) for name in known]
    return min(found, key=lambda one: (one.breaker_open, one.wait_s), default=None)


def _of_model(quota: Quota, name: str, demand: Demand, calls: float, pending: Pending, guessed_calls: float) -> Forecast:
    gate = quota.models[name]
    before = PRIORITIES[: PRIORITIES.index(demand.priority) + 1]
    slots = quota.slots_per_replica * quota.replicas
    waiting = sum(quota.queued.get(one, 0) for one in before)
    taken_on = sum(pending.runs.get(one, 0) for one in before)
    position = 1 + waiting + max(0, taken_on - max(0, slots - quota.running))
    ahead = _at_gate(gate, before) + sum(pending.calls.get((name, one), 0.0) for one in before)
    if name == quota.default_model:  # the counts of runs do not tell their models: most name none
        mean = _mean_calls(quota, guessed_calls)
        started = max(0.0, quota.running * mean * REMAINING - max(gate.queue_depth, sum(gate.queued.values())))
        ahead += waiting * mean + started
    rpm = _rpm(gate, demand.priority, before)
    wait_s = (ahead * 60 / rpm + gate.cooling_s) if rpm > 0 else 0.0
    slot_s = position * quota.seconds_per_run / slots if slots and quota.running >= slots else 0.0
    return Forecast(
        model=name,
        rpm=rpm,
        calls=calls,
        calls_ahead=ahead,
        position=position,
        wait_s=wait_s,
        slot_s=slot_s,
        cooling_s=gate.cooling_s,
        call_s=gate.seconds_per_call,
        breaker_open=gate.breaker_open,
    )


def _calls(quota: Quota, kind: str, guessed: float) -> float:
    learned = quota.kinds.get(kind)
    return learned.calls_per_run if learned is not None else guessed


def _mean_calls(quota: Quota, guessed: float) -> float:
    """Of a run whose kind is not known."""
    learned = [one.calls_per_run for one in quota.kinds.values()]
    return sum(learned) / len(learned) if learned else guessed


def _at_gate(gate: ModelState, priorities: Sequence[str]) -> float:
    if not any(gate.queued.values()):
        return gate.queue_depth  # an executor that does not count by priority
    return sum(gate.queued.get(one, 0) for one in priorities)


def _rpm(gate: ModelState, priority: str, before: Sequence[str]) -> float:
    """How fast the queue moves: the effective rate, or less where tokens or the shares of lower classes bind."""
    waiting = sum(gate.queued.get(one, 0) for one in before)
    moving_s = gate.expected_wait_s.get(priority, 0.0) - gate.cooling_s
    if gate.effective_rpm <= 0 or waiting < MEASURED_CALLS or moving_s <= 0:
        return gate.effective_rpm
    return min(gate.effective_rpm, (waiting + 1) * 60 / moving_s)
