"""What decisions remember of each other: what was asked for within a window, what was changed within a period. Pure."""

import math
from dataclasses import replace

from headrace_operator.model import CallTime, Direction, Memory, ModelSignals, Observed, Spec

MOST_REMEMBERED = 128
"""Different numbers of replicas that are remembered; beyond it the oldest is forgotten."""
CALL_SMOOTHING_S = 120.0
"""Time constant of the average of seconds_per_call. The gate's own figure follows the last ten calls or so, and an executor
that comes and goes with the length of ten answers does nobody any good."""

Times = tuple[tuple[float, int], ...]


def carry_over(spec: Spec, observed: Observed, memory: Memory, now: float) -> Memory:
    """The memory as far as it still counts at `now`, with what is refused now.

    When nothing was remembered lately (a restart, a pause of the loop) nobody knows what would have been asked for: the
    present scale counts as asked for now, so that both windows begin anew. Times ahead of `now` (the clock was set back)
    count as now.
    """
    wanted = _since(memory.wanted, now, now - max(spec.up.stabilization_s, spec.down.stabilization_s, spec.max_age_s))
    changes = _since(memory.changes, now, now - max(spec.up.period_s, spec.down.period_s))
    until = min(memory.refused_until, now + spec.backoff_s)
    memory = replace(memory, wanted=wanted, changes=changes, refused_until=until)
    if not wanted or wanted[-1][0] < now - spec.max_age_s:
        memory = ask(memory, observed.replicas, now)
    return _refusals(spec, observed, memory, now)


def ask(memory: Memory, replicas: int, now: float) -> Memory:
    """Remember that so many were asked for. Of each number its last time is enough: windows look for extremes."""
    others = tuple(one for one in memory.wanted if one[1] != replicas)
    return replace(memory, wanted=(*others, (now, replicas))[-MOST_REMEMBERED:])


def change(memory: Memory, spec: Spec, difference: int, now: float) -> Memory:
    """Remember a change, and of each direction no more than fills its period: what is older lapses sooner."""
    if not difference:
        return memory
    kept: list[tuple[float, int]] = []
    sums = {True: 0, False: 0}
    for time, one in reversed((*memory.changes, (now, difference))):
        up = one > 0
        if sums[up] < (spec.up if up else spec.down).max_step:
            kept.append((time, one))
            sums[up] += abs(one)
    return replace(memory, changes=tuple(reversed(kept)))


def call_seen(memory: Memory, gate: ModelSignals, now: float) -> Memory:
    """Average what calls take. A gate that has seen none (its Redis was emptied) leaves what is known."""
    known = memory.call if memory.call is not None and memory.call.model == gate.model else None
    if gate.seconds_per_call <= 0:
        return replace(memory, call=known)
    seconds = gate.seconds_per_call
    if known is not None:
        weight = -math.expm1(-max(0.0, now - known.time) / CALL_SMOOTHING_S)
        seconds = known.seconds + (seconds - known.seconds) * weight
    return replace(memory, call=CallTime(gate.model, seconds, now))


def least_asked(memory: Memory, wish: int, window_s: float, now: float) -> int:
    """The fewest replicas asked for within the window, `wish` among them."""
    return min((wish, *(replicas for time, replicas in memory.wanted if time > now - window_s)))


def most_asked(memory: Memory, wish: int, window_s: float, now: float) -> int:
    """The most replicas asked for within the window, `wish` among them."""
    return max((wish, *(replicas for time, replicas in memory.wanted if time > now - window_s)))


def step_left(memory: Memory, direction: Direction, sign: int, now: float) -> int:
    """Replicas that may still come (`sign` 1) or go (-1) within the direction's period."""
    recent = sum(abs(one) for time, one in memory.changes if one * sign > 0 and time > now - direction.period_s)
    return max(0, direction.max_step - recent)


def _since(times: Times, now: float, first: float) -> Times:
    return tuple((min(time, now), number) for time, number in times if time >= first)


def _refusals(spec: Spec, observed: Observed, memory: Memory, now: float) -> Memory:
    """Note replicas that cannot be had. Those seen after the scale was lowered for them are the same ones, told late."""
    known = now < memory.refused_until and observed.replicas <= memory.refused_at
    if observed.refused <= 0 or known:
        return memory
    return replace(memory, refused_until=now + spec.backoff_s, refused_at=max(0, observed.replicas - observed.refused))
