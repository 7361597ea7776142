"""What readers of a running run hear of its waits for the quota."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from headrace_executor.engine.notices import Notices
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import FailureCode
from headrace_llm.client import Wait

from tests.support.executor_fakes import FakeJournal, claimed


class World:
    """A run whose steps wait, at a time that the test sets."""

    def __init__(self, journal: FakeJournal | None = None) -> None:
        self.now = 100.0
        self.journal = journal or FakeJournal(claimed({}))
        self.notices = Notices(self.journal, quiet_s=2.0, clock=lambda: self.now)

    def waits(self, position: int, expected_s: float, *, waited_s: float, step: str = "node:a") -> int:
        """Have a step's call told where it stands; how many events there are now."""
        self.notices.of(step)(Wait(position, expected_s, waited_s))
        return len(self.told)

    @property
    def told(self) -> list[Mapping[str, Any]]:
        return [event["value"] for event in self.journal.events if event["type"] == "CUSTOM"]


def test_a_short_wait_is_not_told() -> None:
    world = World()
    assert world.waits(3, 9.0, waited_s=1.9) == 0
    assert world.waits(3, 9.04, waited_s=2.0) == 1
    assert world.told == [{"position": 3, "expected_wait_s": 9.0, "limited_by": "quota", "step": "node:a"}]


def test_a_wait_that_goes_as_it_was_told_is_told_again_when_its_place_changes_and_seldom() -> None:
    world = World()
    world.waits(50, 60.0, waited_s=2.0)
    world.now += 1
    assert world.waits(40, 59.0, waited_s=3.0) == 1
    world.now += 1
    assert world.waits(50, 58.0, waited_s=4.0) == 1
    world.now += 1
    assert world.waits(44, 57.0, waited_s=5.0) == 2


def test_an_end_that_moves_is_told_though_the_place_is_the_same() -> None:
    world = World()
    world.waits(3, 20.0, waited_s=2.0)
    world.now += 10
    assert world.waits(3, 14.0, waited_s=12.0) == 1
    assert world.waits(3, 30.0, waited_s=12.0) == 2


def test_another_wait_of_the_same_step_is_told_anew() -> None:
    world = World()
    world.waits(3, 20.0, waited_s=2.0)
    world.now += 10
    assert world.waits(3, 10.0, waited_s=2.5) == 2


def test_steps_that_wait_side_by_side_share_one_pace_and_each_is_told_what_is_new_of_it() -> None:
    world = World()
    world.waits(1, 10.0, waited_s=2.0, step="node:a")
    assert world.waits(2, 20.0, waited_s=2.0, step="node:b") == 1
    world.now += 2
    assert world.waits(1, 8.0, waited_s=4.0, step="node:a") == 1
    assert world.waits(2, 18.0, waited_s=4.0, step="node:b") == 2
    world.now += 2
    assert world.waits(1, 6.0, waited_s=6.0, step="node:a") == 2
    assert world.waits(2, 16.0, waited_s=6.0, step="node:b") == 2
    assert [one["step"] for one in world.told] == ["node:a", "node:b"]


class Refusing(FakeJournal):
    def __init__(self, *errors: Exception) -> None:
        super().__init__(claimed({}))
        self.errors = list(errors)

    def emit(self, *new: Mapping[str, Any]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        super().emit(*new)


def test_a_journal_that_takes_nothing_is_no_matter_of_the_gate() -> None:
    world = World(Refusing(LeaseLost("r1"), RunFailed(FailureCode.INTERNAL, "too many events")))
    assert world.waits(3, 9.0, waited_s=2.0) == 0
    assert world.waits(3, 9.0, waited_s=2.0) == 0
    assert world.waits(3, 9.0, waited_s=2.0) == 1


class FakeWaits:
    """What other processes noted: the standings in turn, the last one for ever."""

    def __init__(self, *standings: Wait | None) -> None:
        self.standings = list(standings)
        self.asked: list[str] = []
        self.all_seen = asyncio.Event()

    async def of_run(self, run_id: str) -> Wait | None:
        self.asked.append(run_id)
        if len(self.standings) > 1:
            return self.standings.pop(0)
        self.all_seen.set()
        return self.standings[0]


async def test_readers_hear_where_a_call_waits_that_another_service_makes_for_a_step() -> None:
    journal = FakeJournal(claimed({}))
    waits = FakeWaits(None, Wait(4, 9.0, 1.0), None)

    async def work() -> str:
        async with asyncio.timeout(10):
            await waits.all_seen.wait()
        return "done"

    assert await Notices(journal, quiet_s=0.01).during("plan", work(), waits) == "done"
    told = [event["value"] for event in journal.events if event["type"] == "CUSTOM"]
    assert told == [{"position": 4, "expected_wait_s": 9.0, "limited_by": "quota", "step": "plan"}]
    assert set(waits.asked) == {"r1"}
    seen = len(waits.asked)
    await asyncio.sleep(0)
    assert len(waits.asked) == seen


async def test_a_step_whose_service_fails_fails_as_it_does_unwatched() -> None:
    journal, waits = FakeJournal(claimed({})), FakeWaits(None)

    async def fail() -> None:
        raise RunFailed(FailureCode.QUOTA, "no")

    for watched in (waits, None):
        with pytest.raises(RunFailed, match="no"):
            await Notices(journal, quiet_s=0.01).during("route", fail(), watched)
    assert not [event for event in journal.events if event["type"] == "CUSTOM"]
