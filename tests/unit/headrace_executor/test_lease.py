"""The lease by this process's own clock: kept, lost in time, begun anew."""

import asyncio
import time
from collections.abc import Sequence

from headrace_executor.errors import StoreAway
from headrace_executor.runs.lease import Lease
from headrace_executor.runs.records import Beat, Claim

LEASE_S, HEARTBEAT_S = 1.0, 0.1


class Store:
    """`stores.ClaimStore` that answers, is away, hangs, or says that the lease has lapsed."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.registered: list[str] = []
        self.last_ok = 0.0

    async def register(self, executor_id: str, *, lease_s: float, slots: int) -> None:
        if self.mode != "ok":
            raise StoreAway
        self.registered.append(executor_id)
        self.last_ok = time.monotonic()

    async def renew(self, executor_id: str, *, lease_s: float, seconds_per_run: float, finished: int) -> Beat:
        asked = time.monotonic()
        match self.mode:
            case "away":
                raise StoreAway
            case "hangs":
                await asyncio.Event().wait()
            case "lapsed":
                return Beat(held=False, cancelled=())
            case "late":
                time.sleep(LEASE_S)  # the whole process stood still
        self.last_ok = asked
        return Beat(held=True, cancelled=("r1",))

    async def resign(self, executor_id: str) -> None: ...

    async def claim(self, executor_id: str, *, limit: int) -> Sequence[Claim]:
        return ()

    async def give_up(self, run_id: str, *, fence: int) -> None: ...


async def _kept(store: Store) -> tuple[Lease, "asyncio.Task[None]", list[float]]:
    lease = Lease(store, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S, slots=1)
    lost: list[float] = []
    lease.on_lost = lambda: lost.append(time.monotonic())
    await lease.begin()
    return lease, asyncio.create_task(lease.keep()), lost


async def test_a_lease_that_is_renewed_holds_and_brings_cancellations() -> None:
    lease, keeping, lost = await _kept(Store())
    asked: list[str] = []
    lease.on_cancelled = asked.extend
    await asyncio.sleep(LEASE_S * 1.2)
    keeping.cancel()
    assert lease.valid()
    assert not lost
    assert set(asked) == {"r1"}


async def test_an_owner_stops_before_its_lease_ends_when_the_store_fails_or_hangs() -> None:
    for mode in ("away", "hangs"):
        store = Store()
        lease, keeping, lost = await _kept(store)
        store.mode = mode
        async with asyncio.timeout(5):
            while not lost:
                await asyncio.sleep(0.005)
        keeping.cancel()
        assert not lease.valid()
        assert len(lost) == 1
        assert lost[0] < store.last_ok + LEASE_S, mode


async def test_a_lapsed_lease_is_begun_anew_under_another_id() -> None:
    store = Store()
    lease, keeping, lost = await _kept(store)
    store.mode = "lapsed"
    async with asyncio.timeout(5):
        while not lost:
            await asyncio.sleep(0.005)
        store.mode = "ok"
        while not lease.valid():
            await asyncio.sleep(0.005)
    keeping.cancel()
    assert len(lost) == 1
    assert len(set(store.registered)) == 2
    assert lease.executor_id == store.registered[-1]


async def test_a_resigned_lease_is_not_begun_again() -> None:
    store = Store()
    lease, keeping, lost = await _kept(store)
    await lease.resign()
    await asyncio.sleep(HEARTBEAT_S * 3)
    keeping.cancel()
    assert not lease.valid()
    assert not lost
    assert len(store.registered) == 1


async def test_a_lease_that_looked_lapsed_for_a_moment_is_not_revived() -> None:
    """Somebody may have acted on it: the store's word that it still holds comes too late."""
    store = Store()
    lease, keeping, lost = await _kept(store)
    first = lease.executor_id
    store.mode = "late"
    async with asyncio.timeout(5):
        while not lost:
            await asyncio.sleep(0.005)
        store.mode = "ok"
        while not lease.valid():
            await asyncio.sleep(0.005)
    keeping.cancel()
    assert lease.executor_id != first
