"""The provider in virtual time: what it lets in, what becomes of a call, what the books say."""

from typing import Any

import pytest
from headrace_simulator.ask import Ask
from headrace_simulator.policy import Refusal
from headrace_simulator.profile import Profile
from headrace_simulator.simulator import MAX_ACCOUNTS, MAX_TAGS, OTHER, Call, Simulator, TooManyAccounts
from pydantic import ValidationError

EPOCH = 1_800_000_000.0
ASK = Ask(model="m", prompt_tokens=10)


class Time:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


class World:
    """A simulator and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.time = Time()
        self.simulator = Simulator(Profile.model_validate(settings), self.time, EPOCH)

    def ask(self, key: str = "k", tag: str = "", ask: Ask = ASK, model: str = "m") -> Call | Refusal:
        return self.simulator.arrive(key, tag, ask if model == "m" else Ask(model=model, prompt_tokens=10))

    def offer(self, seconds: float, every: float) -> int:
        """Ask evenly; how many were let in."""
        accepted = 0
        for _ in range(round(seconds / every)):
            outcome = self.ask()
            if isinstance(outcome, Call):
                accepted += 1
                self.simulator.end(outcome, "completed")
            self.time.now += every
        return accepted

    def change(self, **settings: Any) -> None:
        self.simulator.configure(self.simulator.profile.changed(settings))

    def total(self) -> dict[str, Any]:
        found: dict[str, Any] = self.simulator.report()["total"]
        return found

    def quota(self) -> dict[str, Any]:
        (found,) = self.simulator.report()["quotas"].values()
        return dict(found)


def test_under_ten_times_its_quota_it_accepts_the_quota_and_the_books_say_so() -> None:
    world = World(rpm=600)
    accepted = world.offer(60, every=0.01)
    quota, total = world.quota(), world.total()

    assert accepted == pytest.approx(610, abs=1)
    assert quota["goodput"] == pytest.approx(1, abs=0.005)
    assert quota["allowed_requests"] == pytest.approx(610, abs=0.2)
    assert quota["allowed_requests_smooth"] == pytest.approx(601, abs=0.2)
    assert (total["arrivals"], total["accepted"], total["refused"]) == (6000, accepted, 6000 - accepted)
    assert total["refused"] == sum(total["refused_by"].values())
    assert total["ended"]["completed"] == accepted
    assert total["arrivals_max_1s"] == 100
    assert 10 <= total["accepted_max_1s"] <= 20
    assert total["interval_p50_s"] == pytest.approx(0.1, rel=0.02)
    assert total["gap_max_s"] == pytest.approx(0.1, abs=0.011)


def test_the_series_has_every_second_and_adds_up() -> None:
    world = World(rpm=60)
    world.offer(10, every=0.25)
    series = world.simulator.report(series_s=3600)["total"]["series"]

    assert series["start"] == EPOCH + 5
    assert series["arrivals"] == [4] * 10
    assert series["accepted"] == [1] * 10
    assert series["refused"] == [3] * 10
    assert len(world.simulator.report(series_s=4)["total"]["series"]["arrivals"]) == 4


def test_a_silence_longer_than_the_series_leaves_no_old_counts() -> None:
    world = World(rpm=None)
    world.offer(2, every=1)
    world.time.now += 5000
    world.offer(1, every=1)

    assert sum(world.simulator.report(series_s=3600)["total"]["series"]["arrivals"]) == 1


def test_a_drop_comes_and_goes_at_its_time_also_when_nobody_calls_then() -> None:
    world = World(rpm=600, drops=[{"at_s": 10, "for_s": 20, "factor": 0.4}])
    before = world.offer(10, every=0.01)
    world.time.now += 1
    during = world.offer(18, every=0.01)
    world.time.now += 5
    after = world.offer(10, every=0.01)
    report = world.simulator.report()

    assert before == pytest.approx(110, abs=1)
    assert during == pytest.approx(4 + 0.4 * 180, abs=2)
    assert after == pytest.approx(110, abs=1)
    assert [(one["at"] - EPOCH, one["factor"]) for one in report["factors"]] == [(5, 1.0), (15, 0.4), (35, 1.0)]
    assert world.quota()["allowed_requests_smooth"] == pytest.approx(1 + 100 + 80 + 140, abs=0.5)


@pytest.mark.parametrize("at", [0.1, 0.3, 0.7, 1.1])
def test_a_drop_holds_from_its_very_edge(at: float) -> None:
    world = World(rpm=600, drops=[{"at_s": at, "for_s": at, "factor": 0.4}])
    world.offer(3, every=0.01)

    assert [one["factor"] for one in world.simulator.report()["factors"]] == [1.0, 0.4, 1.0]


def test_another_enforcement_begins_its_count_anew() -> None:
    world = World(rpm=600)
    world.offer(10, every=0.01)
    world.change(enforcement="sliding_minute")
    world.offer(10, every=0.01)
    quota = world.quota()

    assert (quota["accepted"], quota["allowed_requests"], quota["goodput"]) == (600, 600, 1.0)


def test_rates_that_change_at_runtime_hold_from_then_on() -> None:
    world = World(rpm=600)
    world.offer(5, every=0.01)
    world.change(factor=0.5)
    dropped = world.offer(10, every=0.01)
    world.change(factor=1, rpm=60)
    slow = world.offer(10, every=0.01)

    assert dropped == pytest.approx(50, abs=2)
    assert slow == pytest.approx(10, abs=2)


def test_each_key_and_model_has_its_own_quota_and_a_group_shares_one() -> None:
    world = World(rpm=60, quotas=[{"model": "qwen-*", "group": "account", "rpm": 120}, {"key": "free", "rpm": None}])

    def let_in(key: str, model: str) -> bool:
        return isinstance(world.ask(key, model=model), Call)

    assert [let_in("a", "m"), let_in("a", "m"), let_in("b", "m"), let_in("a", "other")] == [True, False, True, True]
    assert [let_in("a", "qwen-max"), let_in("b", "qwen-turbo"), let_in("a", "qwen-max")] == [True, True, False]
    assert all(let_in("free", "m") for _ in range(100))
    report = world.simulator.report()
    assert report["quotas"]["account"]["accepted"] == 2
    assert {one["quota"] for one in report["accounts"] if one["model"].startswith("qwen")} == {"account"}


def test_rules_that_change_move_accounts_to_their_new_quota() -> None:
    world = World(rpm=60)
    world.ask("a")
    world.ask("b")
    world.change(quotas=[{"group": "all", "rpm": 60}])
    first, second = world.ask("a"), world.ask("b")

    assert isinstance(first, Call)
    assert isinstance(second, Refusal)
    assert list(world.simulator.report()["quotas"]) == ["all"]


def test_the_same_seed_gives_the_same_calls_whatever_was_refused_between() -> None:
    faults = {"error": 0.2, "hang": 0.1, "cut": 0.2, "slow": 0.2}
    plain, busy, other = (
        World(rpm=None, faults=faults),
        World(rpm=60, faults=faults),
        World(rpm=None, faults=faults, seed=1),
    )
    fates = []
    for world, every in ((plain, 0.0), (busy, 0.3), (other, 0.0)):
        found: list[Call] = []
        while len(found) < 50:
            outcome = world.ask()
            if isinstance(outcome, Call):
                found.append(outcome)
            world.time.now += every
        fates.append([(call.fate, call.reply) for call in found])

    assert fates[0] == fates[1]
    assert fates[0] != fates[2]
    assert {fate.fault for fate, _ in fates[0]} == {"", "error", "hang", "cut", "slow"}


def test_a_changed_fault_changes_neither_length_nor_latency() -> None:
    calls = [World(rpm=None, faults={"error": part}).ask() for part in (0.0, 1.0)]
    assert all(isinstance(call, Call) for call in calls)
    first, second = (call.fate for call in calls if isinstance(call, Call))

    assert (first.fault, second.fault) == ("", "error")
    assert (first.tokens, first.first_token_s) == (second.tokens, second.first_token_s)


def test_lengths_and_latencies_are_as_set() -> None:
    world = World(rpm=None, latency={"first_token_s": 0.5, "sigma": 0.3, "tokens_per_s": 50}, answer={"tokens": 80})
    calls = [call for call in (world.ask() for _ in range(2001)) if isinstance(call, Call)]
    first = sorted(call.fate.first_token_s for call in calls)
    lengths = sorted(call.reply.tokens for call in calls)

    assert first[1000] == pytest.approx(0.5, rel=0.05)
    assert first[1682] == pytest.approx(0.5 * 2.718**0.3, rel=0.07)
    assert lengths[1000] == pytest.approx(80, rel=0.1)
    assert {call.fate.token_s for call in calls} == {0.02}


def test_the_charge_of_tokens_is_what_usage_says() -> None:
    world = World(rpm=None, tpm=6000)
    call = world.ask()
    assert isinstance(call, Call)

    assert world.quota()["tokens"] == 10 + call.reply.tokens
    assert world.quota()["goodput"] == pytest.approx((10 + call.reply.tokens) / 100)


def test_more_tags_than_are_kept_share_one_book() -> None:
    world = World(rpm=None)
    for at in range(MAX_TAGS + 10):
        world.ask(tag=f"t{at}")
    tags = world.simulator.report()["tags"]

    assert len(tags) == MAX_TAGS + 1
    assert tags[OTHER]["accepted"] == 10


def test_more_keys_than_are_kept_are_told_so() -> None:
    world = World(rpm=None)
    for at in range(MAX_ACCOUNTS):
        world.ask(f"k{at}")
    with pytest.raises(TooManyAccounts, match="reset"):
        world.ask("another")
    assert isinstance(world.ask("k0"), Call)


def test_a_key_as_long_as_a_real_one_is_not_in_the_report() -> None:
    world = World()
    world.ask("sk-0123456789abcdef0123456789abcdef")
    world.ask("class-7")

    assert "0123456789abcdef" not in str(world.simulator.report())
    assert "class-7" in str(world.simulator.report())


def test_a_reset_forgets_what_was_and_calls_in_hand_end_without_harm() -> None:
    world = World(rpm=60, concurrency=1)
    before = world.ask()
    world.simulator.reset()
    after = world.ask()
    assert isinstance(before, Call)
    assert isinstance(after, Call)
    world.simulator.end(before, "completed")

    assert (before.fate, before.reply) == (after.fate, after.reply)
    assert world.total()["in_flight"] == 1
    assert world.total()["ended"]["completed"] == 0


def test_a_change_keeps_what_it_does_not_name_and_settings_survive_being_shown() -> None:
    profile = Profile.model_validate(
        {"rpm": 90, "tpm": 10, "latency": {"sigma": 0.1}, "quotas": [{"key": "a", "rpm": None}]}
    )
    changed = profile.changed({"latency": {"first_token_s": 2}})

    assert (changed.rpm, changed.latency.sigma, changed.latency.first_token_s) == (90, 0.1, 2)
    shown = profile.changed(profile.to_json())
    assert shown.to_json() == profile.to_json()
    assert shown.quotas[0].model_fields_set == {"key", "rpm"}


@pytest.mark.parametrize(
    "change",
    [
        [],
        {"faults": {"error": 0.6, "cut": 0.6}},
        {"rpm": 0},
        {"drops": [{"at_s": 1}]},
        {"dialect": "latin"},
        {"quotas": [{"group": "a", "rpm": 5}, {"group": "a", "rpm": 6}]},
    ],
)
def test_a_wrong_change_is_refused(change: object) -> None:
    with pytest.raises(ValidationError):
        Profile().changed(change)
