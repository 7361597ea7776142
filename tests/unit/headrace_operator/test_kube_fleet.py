"""The supervised loops, with scalers that a test scripts and a clock that it moves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from headrace_operator.errors import ApiError
from headrace_operator.fleet import GRACE_S, Fleet, Limits
from headrace_operator.ports import Cluster, Json, Key
from headrace_operator.scaler import Scaler
from headrace_runtime import tasks

from tests.unit.headrace_operator.kube_objects import scaler

LIMITS = Limits(scalers=3, tick_timeout_s=5, backoff_s=0.001, backoff_max_s=0.004, relist_s=0.01, watch_lag_s=90)
EXEC = Key("shop", "exec")


@dataclass
class FakeCluster:
    """Lists what the test says."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False
    lists: int = 0

    async def scalers(self) -> Sequence[Json]:
        """All of them."""
        self.lists += 1
        if self.away:
            raise ApiError("away")
        return self.bodies


class FakeScaler:
    """Counts its rounds; `act` is what one does."""

    def __init__(self, act: Callable[[], Awaitable[float]]) -> None:
        self._act = act
        self.holders: list[str] = []
        self.closed = False

    async def tick(self, holder: str) -> float:
        """One round."""
        self.holders.append(holder)
        return await self._act()

    async def close(self) -> None:
        """The end."""
        self.closed = True


class Stage:
    """A fleet and all that it stands on."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        self.cluster = FakeCluster()
        self.made: dict[Key, list[FakeScaler]] = {}
        self.act: Callable[[], Awaitable[float]] = self.quick
        known = {name: getattr(LIMITS, name) for name in LIMITS.__slots__}
        self.fleet = Fleet(cast("Cluster", self.cluster), self._make, Limits(**{**known, **limits}), clock=lambda: self.now)

    def _make(self, key: Key) -> Scaler:
        made = FakeScaler(lambda: self.act())
        self.made.setdefault(key, []).append(made)
        return cast("Scaler", made)

    async def quick(self) -> float:
        return 0.001

    async def hang(self) -> float:
        await asyncio.Event().wait()
        return 0.0

    async def fail(self) -> float:
        raise KeyError("a bug")

    async def listed(self, times: int = 2) -> None:
        """Wait for so many more lists."""
        target = self.cluster.lists + times
        await until(lambda: self.cluster.lists >= target)


async def until(there: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[tasks.Guard]:
    async with tasks.guard() as guard:
        guard.start(stage.fleet.run(), name="fleet")
        await stage.listed(1)
        yield guard


async def test_a_list_starts_loops_and_ends_those_that_are_gone() -> None:
    stage = Stage()
    stage.cluster.bodies = [scaler(), scaler(name="other", deployment="other")]
    async with running(stage):
        await until(lambda: len(stage.made) == 2)
        stage.cluster.bodies = stage.cluster.bodies[:1]
        await until(lambda: stage.made[Key("shop", "other")][0].closed)
        assert list(stage.fleet.vitals().scalers) == ["shop/exec"]
        assert len(stage.made[EXEC]) == 1
    assert stage.made[EXEC][0].closed


async def test_a_bug_in_a_round_costs_the_round_and_not_the_loop() -> None:
    stage = Stage()
    stage.act = stage.fail
    stage.cluster.bodies = [scaler()]
    async with running(stage) as guard:
        await until(lambda: stage.made and len(stage.made[EXEC][0].holders) > 8)
        assert stage.fleet.vitals().scalers["shop/exec"].failures > 7
        assert stage.fleet.vitals().faults == ()
        stage.act = stage.quick
        await until(lambda: stage.fleet.vitals().scalers["shop/exec"].failures == 0)
        assert not guard.failed.done()


async def test_a_round_that_hangs_is_broken_off() -> None:
    stage = Stage(tick_timeout_s=0.01)
    stage.act = stage.hang
    stage.cluster.bodies = [scaler()]
    async with running(stage):
        await until(lambda: stage.made and len(stage.made[EXEC][0].holders) > 2)


async def test_a_loop_that_does_not_turn_shows_in_the_probe() -> None:
    stage = Stage()
    stage.act = stage.hang
    stage.cluster.bodies = [scaler()]
    async with running(stage):
        await until(lambda: stage.made and stage.made[EXEC][0].holders)
        assert stage.fleet.vitals().faults == ()
        stage.now += LIMITS.tick_timeout_s + GRACE_S + 1
        assert "shop/exec: the loop does not turn" in stage.fleet.vitals().faults
        assert stage.fleet.vitals().scalers["shop/exec"].overdue_s > 0


async def test_a_loop_that_ends_by_itself_ends_the_process() -> None:
    class Fatal(BaseException):
        pass

    async def die() -> float:
        raise Fatal

    stage = Stage()
    stage.act = die
    stage.cluster.bodies = [scaler()]
    async with tasks.guard() as guard:
        guard.start(stage.fleet.run(), name="fleet")
        with pytest.raises(BaseExceptionGroup):
            await asyncio.wait_for(guard.failed, 5)


async def test_a_list_that_fails_is_tried_again_and_ends_no_loop() -> None:
    stage = Stage()
    stage.cluster.bodies = [scaler()]
    async with running(stage):
        await until(lambda: stage.made)
        stage.cluster.away = True
        await stage.listed(4)
        vitals = stage.fleet.vitals()
        assert (vitals.reached, vitals.faults, list(vitals.scalers)) == (False, (), ["shop/exec"])
        stage.cluster.away = False
        await until(lambda: stage.fleet.vitals().reached)


async def test_the_watch_starts_wakes_and_ends_a_loop_at_once() -> None:
    stage = Stage(relist_s=3600)
    woken: list[float] = []

    async def slow() -> float:
        woken.append(stage.now)
        return 3600.0

    stage.act = slow
    async with running(stage):
        await stage.fleet.listed.wait()
        stage.fleet.changed(scaler(), gone=False)
        await until(lambda: len(woken) == 1)
        stage.fleet.changed(scaler(), gone=False)  # its status alone is new
        stage.fleet.changed(scaler(generation=2), gone=False)
        await until(lambda: len(woken) == 2)
        paused = scaler(generation=2)
        paused["metadata"]["annotations"] = {"headrace.dev/paused": "true"}
        stage.fleet.changed(paused, gone=False)
        await until(lambda: len(woken) == 3)
        stage.fleet.changed(paused, gone=True)
        await until(lambda: stage.made[EXEC][0].closed)


async def test_a_namesake_made_anew_gets_a_loop_without_memory() -> None:
    stage = Stage()
    stage.cluster.bodies = [scaler()]
    async with running(stage):
        await until(lambda: stage.made)
        stage.cluster.bodies = [scaler(uid="2")]
        await until(lambda: len(stage.made[EXEC]) == 2)
        await until(lambda: stage.made[EXEC][0].closed)
        assert not stage.made[EXEC][1].closed


async def test_a_watch_that_owes_what_the_list_has_shown_is_found_out() -> None:
    stage = Stage()
    stage.cluster.bodies = [scaler()]
    async with running(stage):
        await stage.listed()
        stage.fleet.changed(scaler(), gone=False)
        await stage.listed()
        stage.now += LIMITS.watch_lag_s * 2
        await stage.listed()
        assert stage.fleet.vitals().watch_lag_s == 0  # silence alone is no fault
        stage.cluster.bodies = [scaler(generation=2)]
        await stage.listed()
        stage.now += LIMITS.watch_lag_s + 1
        await stage.listed()
        (fault,) = stage.fleet.vitals().faults
        assert fault == "the watch is 91 s behind the list"
        stage.fleet.changed(scaler(generation=2), gone=False)
        assert stage.fleet.vitals().faults == ()


async def test_a_deletion_that_the_watch_missed_is_owed_too() -> None:
    stage = Stage()
    stage.cluster.bodies = [scaler()]
    async with running(stage):
        stage.fleet.changed(scaler(), gone=False)
        await stage.listed()
        stage.cluster.bodies = []
        await until(lambda: stage.made[EXEC][0].closed)
        stage.now += LIMITS.watch_lag_s + 1
        await stage.listed()
        assert stage.fleet.vitals().faults == ("the watch is 91 s behind the list",)


async def test_the_oldest_has_the_deployment_and_a_place() -> None:
    stage = Stage(scalers=2)
    bodies = [scaler(name=name) for name in ("c", "b", "a")]
    for second, body in enumerate(bodies):
        body["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:0{second}Z"
    stage.cluster.bodies = bodies[::-1]
    async with running(stage):
        await until(lambda: len(stage.made) == 2 and all(made[0].holders for made in stage.made.values()))
        assert set(stage.made) == {Key("shop", "c"), Key("shop", "b")}
        assert stage.made[Key("shop", "b")][0].holders[-1] == "c"
