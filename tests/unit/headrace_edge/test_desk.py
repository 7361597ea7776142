"""Who is taken on, who is refused, and that the time that is told is kept."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from headrace_edge.quota.desk import BREAKER_S, PROBE_S, Decision, Desk, DeskLimits, Outcome
from headrace_edge.quota.forecast import Demand, Pending, forecast
from headrace_edge.quota.model import KindCost, ModelState, Quota
from headrace_edge.quota.promises import BookLimits, Claim

from tests.support.overload import Load, Overload

CHAT = Demand("conversation", "interactive", ())


def gate(**values: Any) -> ModelState:
    idle = {
        "granted_rpm": 60.0,
        "effective_rpm": 60.0,
        "queue_depth": 0,
        "oldest_wait_s": 0.0,
        "throttled_ratio": 0.0,
        "seconds_per_call": 2.0,
        "throttled": False,
    }
    return ModelState.model_validate({**idle, **values})


def quota(*, models: dict[str, ModelState] | None = None, **values: Any) -> Quota:
    idle = {
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "queued": {"interactive": 0, "standard": 0, "background": 0},
        "running": 0,
        "oldest_wait_s": 0.0,
        "slots_per_replica": 8,
        "replicas": 1,
        "seconds_per_run": 4.0,
        "models": models or {"m": gate()},
        "default_model": "m",
        "kinds": {"conversation": KindCost(calls_per_run=2, seconds_per_run=4)},
    }
    return Quota.model_validate({**idle, **values})


def crowded(runs: int, **values: Any) -> Quota:
    return quota(queued={"interactive": runs, "standard": 0, "background": 0}, **values)


def ask(desk: Desk, seen: Quota | None, *, demand: Demand = CHAT, who: str = "a", now: float = 1000.0) -> Decision:
    return desk.decide(seen, demand, Claim("t", who), counted_at=now, now=now)


def test_an_idle_service_takes_a_run_on() -> None:
    assert ask(Desk(DeskLimits()), quota()).outcome is Outcome.ACCEPTED


def test_a_run_that_waits_within_its_patience_is_taken_on_and_told_its_place() -> None:
    decision = ask(Desk(DeskLimits()), crowded(20))
    assert decision.outcome is Outcome.QUEUED
    assert decision.forecast is not None
    assert (decision.forecast.position, decision.forecast.wait_s) == (21, 40.0)


def test_patience_depends_on_the_priority_and_only_those_before_it_are_ahead() -> None:
    seen = quota(queued={"interactive": 40, "standard": 40, "background": 100})
    waits = {}
    for priority in ("interactive", "standard", "background"):
        decision = ask(Desk(DeskLimits()), seen, demand=Demand("conversation", priority, ()))
        assert decision.forecast is not None
        waits[priority] = (decision.accepted, decision.forecast.wait_s)
    assert waits == {"interactive": (False, 80.0), "standard": (True, 160.0), "background": (True, 360.0)}


@pytest.mark.parametrize(
    "seen",
    [
        None,
        quota(default_model="unknown"),
        crowded(1000, models={"m": gate(effective_rpm=0.0)}),
        crowded(1000, kinds={"conversation": KindCost(calls_per_run=0, seconds_per_run=0.1)}),
    ],
    ids=["no signals", "an unknown model", "no limit", "no calls"],
)
def test_without_knowledge_or_need_of_a_limit_nobody_is_refused(seen: Quota | None) -> None:
    assert ask(Desk(DeskLimits()), seen).accepted


def test_a_kind_that_has_not_finished_yet_is_guessed() -> None:
    decision = ask(Desk(DeskLimits(guessed_calls=7)), quota(), demand=Demand("page", "interactive", ()))
    assert decision.forecast is not None
    assert decision.forecast.calls == 7


def test_runs_that_no_count_has_yet_are_ahead_too() -> None:
    desk = Desk(DeskLimits())
    decisions = [desk.decide(quota(), CHAT, Claim("t", str(n)), counted_at=1000, now=1000) for n in range(50)]
    assert sum(one.accepted for one in decisions) == 31
    assert desk.decide(quota(), CHAT, Claim("t", "x"), counted_at=1001, now=1001).outcome is Outcome.ACCEPTED


def test_places_count_the_runs_of_a_burst_as_far_as_no_slot_is_free_for_them() -> None:
    desk = Desk(DeskLimits())
    seen = quota(running=6, slots_per_replica=8)
    decisions = [desk.decide(seen, CHAT, Claim("t", str(n)), counted_at=1000, now=1000) for n in range(5)]
    assert [one.forecast and one.forecast.position for one in decisions] == [1, 1, 1, 2, 3]
    counted = desk.decide(seen, CHAT, Claim("t", "later"), counted_at=1001, now=1001)
    assert counted.forecast is not None
    assert counted.forecast.position == 1


@pytest.mark.parametrize(("timeout_s", "call_s", "patience_s"), [(15, 2, 6), (600, 2, 60), (4, 2, 0), (15, 0, 10)], ids=str)
def test_a_direct_call_may_wait_for_what_its_deadline_leaves(timeout_s: float, call_s: float, patience_s: float) -> None:
    slow = gate(queue_depth=1000, queued={"interactive": 1000}, seconds_per_call=call_s)
    direct = Demand("chat", "interactive", (), timeout_s)
    decision = ask(Desk(DeskLimits()), quota(models={"m": slow}), demand=direct)
    assert decision.outcome is Outcome.REFUSED
    assert decision.patience_s == pytest.approx(patience_s)
    assert decision.forecast is not None
    assert decision.forecast.calls == 1


def test_who_returns_with_a_direct_call_is_taken_on_ahead_of_newcomers_and_within_its_deadline() -> None:
    desk, direct = Desk(DeskLimits()), Demand("chat", "interactive", (), 21.0)
    full = quota(models={"m": gate(queue_depth=14, queued={"interactive": 14}, seconds_per_call=2)})
    refused = ask(desk, full, demand=direct)
    assert refused.outcome is Outcome.REFUSED
    later = 1000.0 + refused.retry_after_s
    assert ask(desk, full, demand=direct, who="new", now=later).outcome is Outcome.REFUSED
    assert ask(desk, full, demand=direct, now=later).outcome is Outcome.RETURNED
    fuller = quota(models={"m": gate(queue_depth=16, queued={"interactive": 16}, seconds_per_call=2)})
    later += ask(desk, full, demand=direct, now=later).retry_after_s
    assert ask(desk, fuller, demand=direct, now=later).outcome is Outcome.BROKEN


def test_a_direct_call_to_a_failing_model_is_the_models_clients_to_judge() -> None:
    failing = quota(models={"m": gate(breaker_open=True)})
    assert ask(Desk(DeskLimits()), failing, demand=Demand("chat", "interactive", (), 60.0)).accepted


def test_the_gates_own_expected_wait_tells_when_tokens_bind_and_not_requests() -> None:
    slow = gate(queue_depth=9, queued={"interactive": 9}, expected_wait_s={"interactive": 100.0})
    seen = forecast(quota(models={"m": slow}), CHAT, pending=Pending(), guessed_calls=2)
    assert seen is not None
    assert seen.rpm == pytest.approx(6.0)
    assert seen.wait_s == pytest.approx(90.0)


def test_a_fallback_that_has_time_serves_the_run() -> None:
    models = {"m": gate(queue_depth=100), "spare": gate()}
    demand = replace(CHAT, models=("m", "spare"))
    decision = ask(Desk(DeskLimits()), quota(models=models), demand=demand)
    assert decision.accepted
    assert decision.forecast is not None
    assert decision.forecast.model == "spare"


def test_a_refused_run_is_taken_on_when_it_returns_as_told_although_newcomers_are_not() -> None:
    desk = Desk(DeskLimits())
    refused = ask(desk, crowded(31))
    assert refused.outcome is Outcome.REFUSED
    back = 1000.0 + refused.retry_after_s

    assert ask(desk, crowded(31), who="newcomer", now=back).outcome is Outcome.REFUSED
    assert ask(desk, crowded(31), now=back).outcome is Outcome.RETURNED
    assert ask(desk, crowded(31), now=back).outcome is Outcome.REFUSED


def test_who_returns_early_is_told_the_same_time_again() -> None:
    desk = Desk(DeskLimits())
    first = ask(desk, crowded(60))
    again = ask(desk, crowded(60), now=1010.0)
    assert again.outcome is Outcome.EARLY
    assert again.retry_after_s == first.retry_after_s - 10


def test_a_promise_is_not_before_the_wait_has_come_down() -> None:
    decision = ask(Desk(DeskLimits()), crowded(100))
    assert decision.retry_after_s >= 200 - 60


def test_a_promise_that_cannot_be_kept_is_said_to_be_broken_and_given_anew() -> None:
    desk = Desk(DeskLimits())
    back = 1000.0 + ask(desk, crowded(31)).retry_after_s
    broken = ask(desk, crowded(31, models={"m": gate(effective_rpm=20.0)}), now=back)
    assert broken.outcome is Outcome.BROKEN
    assert broken.promise is not None


def test_a_run_that_was_accepted_for_a_promise_and_not_submitted_keeps_it() -> None:
    desk = Desk(DeskLimits())
    back = 1000.0 + ask(desk, crowded(31)).retry_after_s
    decision = ask(desk, crowded(31), now=back)
    desk.undo(decision, now=back)
    assert ask(desk, crowded(31), now=back + 1).outcome is Outcome.RETURNED


def test_past_the_books_bounds_the_farthest_time_is_told_and_nothing_promised() -> None:
    desk = Desk(DeskLimits(book=BookLimits(max_s=100)))
    decision = ask(desk, crowded(1000))
    assert (decision.outcome, decision.promise, decision.retry_after_s) == (Outcome.OVERFLOW, None, 100)


def test_with_a_model_that_keeps_failing_one_run_in_a_while_finds_out_whether_it_is_back() -> None:
    desk = Desk(DeskLimits())
    failing = quota(models={"m": gate(breaker_open=True)})
    outcomes = [ask(desk, failing, who=str(n), now=1000 + n / 10).outcome for n in range(int(PROBE_S * 10) + 1)]
    assert outcomes[0] is outcomes[-1] is Outcome.PROBE
    assert set(outcomes[1:-1]) == {Outcome.BREAKER}
    assert ask(desk, failing, who="1", now=1000 + PROBE_S + 1).retry_after_s > BREAKER_S - PROBE_S - 2


def test_a_run_that_asks_no_model_is_not_held_up_by_a_failing_one() -> None:
    free = {"conversation": KindCost(calls_per_run=0, seconds_per_run=0.1)}
    assert all(
        ask(Desk(DeskLimits()), quota(kinds=free, models={"m": gate(breaker_open=True)})).outcome is Outcome.ACCEPTED
        for _ in range(3)
    )


def test_calls_at_the_gate_are_those_of_running_runs_and_count_once() -> None:
    waits = [
        forecast(quota(running=10, models={"m": gate(**one)}), CHAT, pending=Pending(), guessed_calls=2)
        for one in ({"queue_depth": 8}, {"queue_depth": 8, "queued": {"interactive": 8}}, {})
    ]
    assert [one.calls_ahead for one in waits if one] == [10, 10, 10]


def test_a_failing_model_without_a_limit_is_refused_too() -> None:
    desk = Desk(DeskLimits())
    failing = quota(models={"m": gate(breaker_open=True, effective_rpm=0.0)})
    ask(desk, failing)
    assert ask(desk, failing).outcome is Outcome.BREAKER


@pytest.mark.parametrize("rpm", [60.0, 600.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_times_too_much_demand_is_served_in_promised_turns(rpm: float, seed: int) -> None:
    report = Overload(Load(rpm=rpm, overload_s=180, after_s=3600), seed=seed).run()

    assert report.overflow == 0
    assert report.promised > 7 * report.newcomers_accepted / 10
    assert report.returned > report.promised / 2
    assert report.kept >= 0.9
    assert report.used >= 0.95
    assert report.wait_s(0.99) < 60 * 1.5 + 10


@pytest.mark.parametrize("rpm", [60.0, 600.0])
def test_newcomers_are_served_however_long_the_overload_lasts(rpm: float) -> None:
    report = Overload(Load(rpm=rpm, overload_s=1200), seed=3).run()

    runs_a_minute = rpm / 2
    assert min(report.accepted_per_minute[minute] for minute in range(20)) >= 0.08 * runs_a_minute
    assert report.kept >= 0.9
    assert report.used >= 0.95
    assert report.overflow > 0


@pytest.mark.parametrize(("rpm", "others", "least"), [(60.0, 1, 0.85), (600.0, 1, 0.95), (600.0, 4, 0.9)])
def test_a_tenant_that_offers_twenty_times_more_is_served_hardly_more(rpm: float, others: int, least: float) -> None:
    report = Overload(Load(rpm=rpm, overload_s=600, tenants=(20.0, *[1.0] * others)), seed=5).run()

    assert report.jain >= least
    assert report.kept >= 0.9
    assert report.used >= 0.95


def test_promises_are_mostly_kept_through_an_unannounced_drop_of_the_quota() -> None:
    report = Overload(Load(rpm=600, overload_s=600, drop=(300, 360, 0.4)), seed=4).run()

    assert report.kept >= 0.85
    assert report.used >= 0.95
