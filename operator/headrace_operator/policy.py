"""How many executors there shall be: what the queue needs, as far as the quota can feed it. Pure.

```
n_demand = ceil((queued + running) / slots_per_replica)
n_quota  = ceil(effective_rpm / 60 × seconds_per_call / calls_per_replica × (1 + headroom))
n        = clamp(min(n_demand, n_quota), min, max, node budget)
```

More executors than n_quota would hold calls that only wait at the gate; seconds_per_call is averaged (`windows`).
docs/scaling.md explains each rule.
"""

import math
from dataclasses import dataclass, replace

from headrace_operator import windows
from headrace_operator.model import Decision, LimitedBy, Memory, ModelSignals, Observed, Signals, Spec

MINUTE_S = 60.0
MOST = 1_000_000
"""No number of replicas is larger, whatever the signals say."""
ROUNDING = 1e-9
"""What floating point may add to a whole number without making it the next one."""


@dataclass(frozen=True, slots=True)
class Load:
    """What fresh signals say about one scale."""

    n_demand: int
    n_quota: int | None
    wish: int
    """The lower of the two, the tolerance seen to."""
    why: LimitedBy
    throttled: str
    """Why no executor may be added now; empty when one may."""
    text: str


@dataclass(frozen=True, slots=True)
class Room:
    """The most replicas that can be had."""

    most: int
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """What a decision is about, with the memory as far as it still counts."""

    spec: Spec
    observed: Observed
    memory: Memory
    room: Room
    now: float

    @property
    def replicas(self) -> int:
        """The present scale."""
        return self.observed.replicas

    def bounded(self, replicas: int, why: LimitedBy) -> tuple[int, LimitedBy]:
        """Within min, max and room, and what bounds it when one of them does."""
        if replicas < self.spec.min_replicas:
            replicas, why = self.spec.min_replicas, LimitedBy.MIN
        if replicas > self.spec.max_replicas:
            replicas, why = self.spec.max_replicas, LimitedBy.MAX
        if replicas > self.room.most:
            replicas, why = self.room.most, LimitedBy.NODE_BUDGET
        return replicas, why


@dataclass(frozen=True, slots=True)
class Move:
    """The next scale, and what keeps it from being the one that is wanted."""

    replicas: int
    limited_by: LimitedBy
    held: str = ""


def decide(spec: Spec, observed: Observed, signals: Signals | None, memory: Memory, now: float) -> Decision:
    """Decide about the scale at `now`, in seconds of the clock that `signals.time` is read from.

    A pause leaves everything as it is. A pin is obeyed as far as there is room. Without fresh signals the present scale
    is held, within min, max and room. Otherwise the signals decide: what quota, max or room do not allow goes at once,
    and every other change waits for its window and keeps to its rate.
    """
    memory = windows.carry_over(spec, observed, memory, now)
    case = Case(spec, observed, memory, _room(spec, observed, memory, now), now)
    if spec.paused:
        return _unasked(case, case.replicas, LimitedBy.PAUSED, f"paused at {case.replicas}")
    if spec.pinned is not None:
        replicas = min(spec.pinned, case.room.most)
        if replicas < spec.pinned:
            return _unasked(case, replicas, LimitedBy.NODE_BUDGET, f"pinned to {spec.pinned}; {case.room.text}")
        return _unasked(case, replicas, LimitedBy.PINNED, f"pinned to {spec.pinned}")
    fault = "no executor has answered" if signals is None else _fault(spec, signals, now)
    if signals is None or fault:
        replicas, why = case.bounded(case.replicas, LimitedBy.SIGNALS)
        return _unasked(case, replicas, why, f"{fault}; holding {replicas}")
    gate = _gate(spec, signals)
    if gate is not None:
        case = replace(case, memory=windows.call_seen(memory, gate, now))
    return _asked(case, _load(case, signals, gate))


def _unasked(case: Case, replicas: int, why: LimitedBy, text: str) -> Decision:
    """Decide without signals. Nobody knows what they would have asked for: the windows count what is."""
    memory = windows.ask(case.memory, replicas, case.now)
    memory = windows.change(memory, case.spec, replicas - case.replicas, case.now)
    return Decision(replicas, why, text, memory)


def _asked(case: Case, load: Load) -> Decision:
    wish, why = case.bounded(load.wish, load.why)
    text = f"{load.text}; {case.room.text}" if why is LimitedBy.NODE_BUDGET else load.text
    move = Move(wish, why)
    if wish > case.replicas:
        move = _up(case, load, move)
    elif wish < case.replicas:
        move = _down(case, load, move)
    if move.held:
        text = f"{text}; {wish} wanted, {move.replicas} for now: {move.held}"
    memory = windows.ask(case.memory, wish, case.now)
    memory = windows.change(memory, case.spec, move.replicas - case.replicas, case.now)
    return Decision(move.replicas, move.limited_by, text, memory, load.n_demand, load.n_quota, fresh=True)


def _up(case: Case, load: Load, wish: Move) -> Move:
    """How far up at once. What is below the minimum comes without waiting."""
    up = case.spec.up
    base = max(case.replicas, min(case.spec.min_replicas, wish.replicas))
    if base == wish.replicas:
        return wish
    if load.throttled:
        return Move(base, LimitedBy.THROTTLING, load.throttled)
    asked = windows.least_asked(case.memory, wish.replicas, up.stabilization_s, case.now)
    reach = case.replicas + windows.step_left(case.memory, up, 1, case.now)
    replicas = max(base, min(asked, reach))
    if replicas == wish.replicas:
        return wish
    if asked <= reach:
        return Move(replicas, LimitedBy.RATE, f"fewer were wanted within {up.stabilization_s:g} s")
    return Move(replicas, LimitedBy.RATE, f"no more than {up.max_step} come within {up.period_s:g} s")


def _down(case: Case, load: Load, wish: Move) -> Move:
    """How far down at once: to what is still allowed without waiting, further by window and rate."""
    down = case.spec.down
    allowed, because = case.bounded(case.replicas, LimitedBy.RATE)
    if load.n_quota is not None and max(load.n_quota, wish.replicas) < allowed:
        allowed, because = max(load.n_quota, wish.replicas), LimitedBy.QUOTA
    asked = windows.most_asked(case.memory, wish.replicas, down.stabilization_s, case.now)
    reach = case.replicas - windows.step_left(case.memory, down, -1, case.now)
    replicas = min(allowed, max(asked, reach))
    if replicas <= wish.replicas:
        return wish
    why = because if replicas == allowed else LimitedBy.RATE
    if asked >= reach:
        return Move(replicas, why, f"more were wanted within {down.stabilization_s:g} s")
    return Move(replicas, why, f"no more than {down.max_step} go within {down.period_s:g} s")


def _load(case: Case, signals: Signals, gate: ModelSignals | None) -> Load:
    spec, slots = case.spec, signals.slots_per_replica
    runs = signals.queued + signals.running
    n_demand, wish = _whole(runs / slots), _tolerant(runs / slots, case.replicas, spec.tolerance)
    text = f"demand {n_demand} ({runs} runs / {slots} slots)"
    call = case.memory.call
    if gate is None or call is None or (gate.effective_rpm <= 0 and gate.configured_rpm <= 0):
        throttled = "" if gate is None else _throttled(spec, gate)
        return Load(n_demand, None, wish, LimitedBy.DEMAND, throttled, f"{text}; quota not known")
    calls = spec.calls_per_replica or slots
    quota = gate.effective_rpm / MINUTE_S * call.seconds / calls * (1 + spec.headroom)
    n_quota = _whole(quota)
    text += (
        f"; quota {n_quota} ({gate.effective_rpm:.4g} rpm × {call.seconds:.3g} s / 60"
        f" / {calls} calls × {1 + spec.headroom:g})"
    )
    # The tolerance is for more alone: what the quota no longer feeds goes, however little it is.
    most = n_quota if n_quota <= case.replicas else _tolerant(quota, case.replicas, spec.tolerance)
    why = LimitedBy.DEMAND if wish <= most else LimitedBy.QUOTA
    return Load(n_demand, n_quota, min(wish, most), why, _throttled(spec, gate), text)


def _gate(spec: Spec, signals: Signals) -> ModelSignals | None:
    name = spec.model or signals.default_model
    return next((one for one in signals.models if one.model == name), None)


def _throttled(spec: Spec, gate: ModelSignals) -> str:
    if gate.throttled_ratio > spec.throttled_above:
        return f"{gate.throttled_ratio:.1%} of the calls were answered 429, above {spec.throttled_above:.1%}"
    return f"the gate pauses for {gate.cooling_s:.1f} s after a 429" if gate.cooling_s > 0 else ""


def _tolerant(exact: float, replicas: int, tolerance: float) -> int:
    return replicas if replicas > 0 and abs(exact / replicas - 1) <= tolerance + ROUNDING else _whole(exact)


def _whole(exact: float) -> int:
    return math.ceil(min(exact, MOST) - ROUNDING)


def _room(spec: Spec, observed: Observed, memory: Memory, now: float) -> Room:
    room = Room(MOST, "")
    if observed.budget is not None:
        room = Room(observed.budget, f"the node budget has room for {observed.budget}")
    # The minimum is asked for again and again: Kubernetes paces that itself, and without it nothing runs.
    refused_at = max(memory.refused_at, spec.min_replicas)
    if now < memory.refused_until and refused_at < room.most:
        by = f" ({observed.refused_by})" if observed.refused_by else ""
        room = Room(refused_at, f"more than {refused_at} could not be had{by}, again in {memory.refused_until - now:.0f} s")
    return room


def _fault(spec: Spec, signals: Signals, now: float) -> str:
    """Why the signals cannot be used; empty when they can."""
    age_s = now - signals.time
    if not abs(age_s) <= spec.max_age_s:
        return f"the last are {age_s:.0f} s old, more than {spec.max_age_s:g} s"
    numbers: list[float] = [signals.queued, signals.running]
    for one in signals.models:
        numbers += [one.effective_rpm, one.configured_rpm, one.throttled_ratio, one.seconds_per_call, one.cooling_s]
    sound = all(math.isfinite(number) and number >= 0 for number in numbers)
    return "" if sound and signals.slots_per_replica > 0 else "a number in them cannot be"
