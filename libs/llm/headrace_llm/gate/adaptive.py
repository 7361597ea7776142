"""How much of the configured quota the provider grants, learnt from its refusals. Pure; times are microseconds.

The state is a curve over time, so that nothing is written while calls succeed: after a refusal the factor falls to
`CUT` of what was refused and then follows CUBIC (RFC 9438, §4.2): fast at first, flat where it was refused (`ceiling`,
after `hold_us`), faster again beyond. Refusals of calls that were let through before the last cut are of the same burst
and do not cut again.

Beyond the quota, `PROBE` of it is tried at a time where probing is allowed, and only on evidence: so many calls, let
through while others waited, were all granted.
"""

from dataclasses import dataclass, replace

from headrace_llm.gate.pace import SECOND_US

CUT = 0.75
"""What a refusal leaves of the factor when nobody knew of it."""
BACK = 0.9
"""What a refusal leaves of a ceiling that is known."""
LOWER = 0.93
"""A ceiling that was refused itself is now thought to be this much of it."""
RAISE = 0.25
"""A ceiling that held while more was refused is moved this part of the way."""
FLOOR = 0.01
"""The factor never falls below this."""
HOLD_US = 4.0 * SECOND_US
"""The shortest time from a cut to the ceiling."""
HOLD_CALLS = 16
"""The same, in calls at the ceiling's pace."""
MAX_HOLD_US = 60 * SECOND_US
AGE_PER_HOLD = 18
"""A ceiling that has held for so long is trusted for a part of that: who has met it all day need not try it every 10 s."""
AGE_PER_HOLD_UNHEARD = 4
"""The same where more has never been granted: the quota is configured too high, and nothing is expected to return."""
HELD = 0.9
"""A ceiling below this part of what has been granted is a dip, one below this part of the quota is not the quota."""
SAME = 0.5
"""A refusal this near to the ceiling is of the same ceiling."""
KNOWN_PAUSE = 0.35
"""What is left of the pause after a refusal that only confirms a ceiling."""
GROWTH = 0.5
"""How fast the curve leaves the ceiling: by this part in the first `hold_us` beyond it, by 8 times that in the second."""
PROBE = 0.1
"""The step beyond the quota."""
PROBE_US = 8 * SECOND_US
PROBE_CALLS = 16
"""A step is good when it has lasted that long, with so many calls and no refusal."""
MAX_PROBE_WAIT = 64
"""How many times longer the wait for the next step becomes, after steps that failed."""
MOST = 20.0
"""The highest factor that is tried."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """What is known of the provider."""

    good: float = 1.0
    """The factor that is not exceeded but in a step: 1, or what probing has found."""
    step: float = 0.0
    """What is being tried on top, 0 for nothing."""
    step_at: float = 0.0
    """When that began, or the last one ended."""
    step_calls: float = 0.0
    """Calls let through since then while others waited."""
    step_wait: float = 1.0
    """How many times longer than usual the next step waits."""
    ceiling: float = 0.0
    """The factor that was refused last; 0 before the first refusal."""
    ceiling_at: float = 0.0
    """Since when the ceiling has been about there."""
    cut_at: float = 0.0
    hold_us: float = 0.0
    depth: float = 0.0
    """How far below the ceiling the last cut went, as a part of it."""
    reduced_at: float = 0.0
    """When the factor was last taken back, by a cut or a step that failed."""
    started_at: float = 0.0
    """When the first call was let through; 0 before it."""
    held: float = 0.0
    """The highest factor that went unrefused for `HOLD_US`, as far as refusals have shown."""


def factor(state: Adaptive, now: float) -> float:
    """The part of the quota that is used now."""
    most = state.good + state.step
    if state.cut_at <= 0:
        return most
    x = (now - state.cut_at) / state.hold_us - 1
    bend = state.depth if x < 0 else GROWTH
    return min(most, max(FLOOR, state.ceiling * (1 + bend * x * x * x)))


def charged(state: Adaptive, now: float, *, granted_at: float) -> float:
    """The factor that a grant was charged by; after a cut the most it can have been, so that no more is given back."""
    used = factor(state, now)
    return max(used, state.good) if granted_at <= state.reduced_at else used


def earlier(state: Adaptive, by: float) -> Adaptive:
    """The same when the clock has gone back."""
    times = ("step_at", "ceiling_at", "cut_at", "reduced_at", "started_at")
    return replace(state, **{name: getattr(state, name) - by for name in times if getattr(state, name) > 0})


def refused(state: Adaptive, now: float, *, granted_at: float, request_us: float) -> Adaptive:
    """Learn that a call which was let through at `granted_at` was refused; `request_us` is the quota's interval."""
    if granted_at <= state.reduced_at:
        return state
    used, held = factor(state, granted_at), _held(state, granted_at)
    if state.step > 0 and used > state.good:
        wait = min(state.step_wait * 2, MAX_PROBE_WAIT)
        return replace(state, step=0.0, step_at=now, step_calls=0.0, step_wait=wait, reduced_at=now, held=held)
    good = max(1.0, state.good * LOWER) if used >= state.good else state.good
    ceiling, depth = _ceiling(state, used)
    since = state.ceiling_at if _met(state, used) else now
    unheard = HELD * held <= ceiling < HELD * good
    age_per_hold = AGE_PER_HOLD_UNHEARD if unheard else AGE_PER_HOLD
    hold = max(HOLD_US, HOLD_CALLS * request_us / ceiling, min((now - since) / age_per_hold, MAX_HOLD_US))
    calm = replace(state, good=good, step=0.0, step_at=now, step_calls=0.0, reduced_at=now, held=held)
    return replace(calm, ceiling=ceiling, ceiling_at=since, cut_at=now, hold_us=hold, depth=depth)


def started(state: Adaptive, now: float) -> Adaptive:
    """Learn that a call was let through."""
    return state if state.started_at > 0 else replace(state, started_at=now)


def pause_part(state: Adaptive, *, granted_at: float) -> float:
    """How much of the usual pause a refusal asks for, when the provider does not say."""
    if granted_at <= state.reduced_at:
        return 0.0
    return KNOWN_PAUSE if _met(state, factor(state, granted_at)) else 1.0


def pressed(state: Adaptive, now: float) -> Adaptive:
    """Learn that a call was let through while others waited; where probing is allowed, that may begin or confirm a step."""
    calls = state.step_calls + 1
    wait = 1.0 if state.step > 0 else state.step_wait
    if factor(state, now) < state.good or calls < PROBE_CALLS or now - state.step_at < PROBE_US * wait:
        return replace(state, step_calls=calls)
    good = state.good + state.step
    eased = 1.0 if state.step > 0 else state.step_wait
    return replace(state, good=good, step=min(PROBE * good, MOST - good), step_at=now, step_calls=0.0, step_wait=eased)


def _held(state: Adaptive, refused_at: float) -> float:
    """What has been granted for a while before a refusal, or before that."""
    at = refused_at - HOLD_US
    if state.started_at <= 0 or at < state.started_at or at < state.reduced_at:
        return state.held
    return max(state.held, factor(state, at))


def _met(state: Adaptive, used: float) -> bool:
    """Whether a refusal is of the ceiling that is known."""
    return state.cut_at > 0 and abs(used - state.ceiling) <= SAME * state.ceiling


def _ceiling(state: Adaptive, used: float) -> tuple[float, float]:
    """Where the ceiling is thought to be after a refusal at `used`, and how far below it to go on."""
    if not _met(state, used):
        falling = state.cut_at > 0 and used < state.ceiling
        return max(FLOOR / CUT, used * (1 + CUT) / 2 if falling else used), 1 - CUT
    if used > state.ceiling * (1 + RAISE / 8):
        return state.ceiling + RAISE * (used - state.ceiling), 1 - BACK
    return max(FLOOR / CUT, used * LOWER), 1 - BACK
