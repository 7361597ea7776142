from dataclasses import dataclass

import pytest
from headrace_llm import breaker
from headrace_llm.breaker import Breaker, BreakerRules, Mode, Outcome
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

RULES = BreakerRules(consecutive=3, ratio=0.5, min_calls=6, window_s=60, open_s=5, max_open_s=40)


def after(state: Breaker, *outcomes: Outcome, now: float = 0.0) -> Breaker:
    for outcome in outcomes:
        state, era = breaker.admit(state, now)
        assert era is not None
        state = breaker.observe(state, RULES, outcome, era=era, now=now)
    return state


FAILED, ANSWERED, NOTHING = Outcome.FAILED, Outcome.ANSWERED, Outcome.NOTHING


def test_failures_in_a_row_open_it() -> None:
    assert after(Breaker(), FAILED, FAILED).mode is Mode.CLOSED
    assert after(Breaker(), FAILED, FAILED, ANSWERED, FAILED, FAILED).mode is Mode.CLOSED
    opened = after(Breaker(), FAILED, NOTHING, FAILED, FAILED)
    assert opened.mode is Mode.OPEN
    assert breaker.blocked_s(opened, RULES, 1.0) == 4.0
    assert breaker.admit(opened, 4.99) == (opened, None)


def test_a_great_part_of_failures_opens_it_once_there_were_enough_calls() -> None:
    mixed = (ANSWERED, FAILED, FAILED, ANSWERED, FAILED)
    assert after(Breaker(), *mixed).mode is Mode.CLOSED
    assert after(Breaker(), *mixed, FAILED).mode is Mode.OPEN
    assert after(Breaker(), *(ANSWERED,) * 9, *(FAILED, ANSWERED) * 4).mode is Mode.CLOSED


def test_old_failures_are_forgotten() -> None:
    few = after(Breaker(), ANSWERED, FAILED, FAILED, ANSWERED, FAILED)
    assert after(few, FAILED, now=29).mode is Mode.OPEN
    assert after(few, ANSWERED, FAILED, ANSWERED, FAILED, now=61).mode is Mode.CLOSED
    assert after(after(few, ANSWERED, now=31), FAILED, now=62).mode is Mode.CLOSED


def test_one_probe_goes_through_and_an_answer_closes_it() -> None:
    opened = after(Breaker(), FAILED, FAILED, FAILED)
    probing, era = breaker.admit(opened, 5.0)
    assert era is not None
    assert breaker.admit(probing, 6.0) == (probing, None)
    assert breaker.blocked_s(probing, RULES, 6.0) > 0
    closed = breaker.observe(probing, RULES, ANSWERED, era=era, now=6.0)
    assert (closed.mode, closed.openings, closed.in_a_row) == (Mode.CLOSED, 0, 0)


def test_a_probe_that_tells_nothing_leaves_the_place_to_the_next() -> None:
    probing, era = breaker.admit(after(Breaker(), FAILED, FAILED, FAILED), 5.0)
    assert era is not None
    again = breaker.observe(probing, RULES, NOTHING, era=era, now=6.0)
    assert breaker.admit(again, 6.0)[1] is not None


@pytest.mark.parametrize(("failures", "open_s"), [(0, 5), (1, 10), (2, 20), (3, 40), (9, 40), (2000, 40)])
def test_the_open_time_doubles_up_to_a_limit(failures: int, open_s: float) -> None:
    state = after(Breaker(), FAILED, FAILED, FAILED)
    now = 0.0
    for _ in range(failures):
        now = state.until
        state = after(state, FAILED, now=now)
    assert state.until - now == open_s


def test_what_was_sent_before_the_change_is_old_news() -> None:
    state, old = breaker.admit(Breaker(), 0.0)
    assert old is not None
    opened = after(state, FAILED, FAILED, FAILED)
    for outcome in Outcome:
        assert breaker.observe(opened, RULES, outcome, era=old, now=1.0) == opened
    probing, _ = breaker.admit(opened, 5.0)
    assert breaker.observe(probing, RULES, ANSWERED, era=old, now=6.0) == probing


@dataclass(frozen=True)
class Call:
    era: int


class AnyTraffic(RuleBasedStateMachine):
    """Calls begin and end in any order at any time."""

    calls: Bundle[Call] = Bundle("calls")

    @initialize()
    def begin(self) -> None:
        self.state, self.now, self.under_way = Breaker(), 1000.0, list[Call]()

    @rule(seconds=st.floats(0, 200))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=calls)
    def a_call_comes(self) -> Call:
        blocked = breaker.blocked_s(self.state, RULES, self.now) > 0
        self.state, era = breaker.admit(self.state, self.now)
        assert (era is None) == blocked
        call = Call(-1 if era is None else era)
        if era is not None:
            self.under_way.append(call)
        return call

    @rule(call=consumes(calls), outcome=st.sampled_from(Outcome))
    def a_call_ends(self, call: Call, outcome: Outcome) -> None:
        if call.era < 0:
            return
        self.under_way.remove(call)
        before = self.state
        self.state = breaker.observe(before, RULES, outcome, era=call.era, now=self.now)
        assert self.state.era >= before.era
        if outcome is not Outcome.FAILED:
            assert self.state.openings <= before.openings

    @invariant()
    def there_is_one_probe_at_most(self) -> None:
        probes = [call for call in self.under_way if call.era == self.state.era]
        assert self.state.mode is Mode.CLOSED or len(probes) == (self.state.mode is Mode.HALF_OPEN)

    @invariant()
    def it_is_never_blocked_for_ever(self) -> None:
        assert breaker.blocked_s(self.state, RULES, self.now) <= RULES.max_open_s
        if self.state.mode is Mode.OPEN:
            assert breaker.admit(self.state, self.now + RULES.max_open_s)[1] is not None


TestAnyTraffic = AnyTraffic.TestCase
