"""Group commit with a store that can be away, refuse, or be late."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_executor import events
from headrace_executor.errors import LeaseLost, StoreAway, StoreRefused
from headrace_executor.runs.feeds import FeedLimits, Hub
from headrace_executor.runs.flush import MAX_BATCH_BYTES, Flusher
from headrace_executor.runs.journal import BufferLimits, RunJournal
from headrace_executor.runs.records import Chunk, RunWrite
from headrace_llm.usage import Usage

from tests.support.executor_fakes import claimed


@dataclass
class Store:
    """Remembers batches. `faults` are raised in turn; `fenced` runs are not ours; `poison` runs break a statement."""

    faults: list[Exception] = field(default_factory=list)
    fenced: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    batches: list[list[RunWrite]] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def write(self, writes: Sequence[RunWrite]) -> frozenset[str]:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        self.batches.append(list(writes))
        if self.faults:
            raise self.faults.pop(0)
        if self.poison & {write.run_id for write in writes}:
            raise StoreRefused("no")
        return frozenset(write.run_id for write in writes) - self.fenced


class AnyLease:
    def __init__(self) -> None:
        self.held = True

    def valid(self) -> bool:
        return self.held


class Hints:
    def __init__(self) -> None:
        self.told: list[str] = []

    def queued(self) -> None: ...

    def cancel(self, run_id: str) -> None: ...

    def events(self, run_ids: Sequence[str]) -> None:
        self.told += run_ids


@dataclass
class Bench:
    store: Store
    lease: Any
    hub: Hub
    hints: Hints
    flusher: Flusher

    def journal(self, run_id: str) -> RunJournal:
        return RunJournal(claimed({}, run_id=run_id), last_seq=1, mark=self.flusher.mark, limits=BufferLimits())


@asynccontextmanager
async def bench(store: Store) -> AsyncIterator[Bench]:
    lease: Any = AnyLease()
    hub, hints = Hub(FeedLimits()), Hints()
    flusher = Flusher(store, hub, hints, lease, token_delay_s=0.025)
    task = asyncio.create_task(flusher.run())
    yield Bench(store, lease, hub, hints, flusher)
    assert not task.done()
    task.cancel()


async def test_runs_that_wait_for_a_flush_share_the_next_one() -> None:
    store = Store(gate=asyncio.Event())
    async with bench(store) as one:
        journals = [one.journal(f"r{n}") for n in range(5)]
        first = asyncio.create_task(journals[0].checkpoint("s", 1, usage=Usage()))
        for _ in range(5):
            await asyncio.sleep(0)
        others = [asyncio.create_task(j.checkpoint("s", 1, usage=Usage())) for j in journals[1:]]
        for _ in range(5):
            await asyncio.sleep(0)
        assert store.gate is not None
        store.gate.set()
        await asyncio.gather(first, *others)
    assert [len(batch) for batch in store.batches] == [1, 4]


async def test_a_flush_ends_with_the_run_that_fills_it_and_the_others_go_in_the_next() -> None:
    store = Store(gate=asyncio.Event())
    large = "x" * (MAX_BATCH_BYTES // 4)
    async with bench(store) as one:
        first = asyncio.create_task(one.journal("r0").checkpoint("s", 1, usage=Usage()))
        for _ in range(5):
            await asyncio.sleep(0)
        others = [asyncio.create_task(one.journal(f"r{n}").checkpoint("s", large, usage=Usage())) for n in range(1, 11)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert store.gate is not None
        store.gate.set()
        await asyncio.gather(first, *others)
    assert [len(batch) for batch in store.batches] == [1, 4, 4, 2]


async def test_a_fenced_run_is_lost_and_its_neighbours_are_stored() -> None:
    async with bench(Store(fenced={"r1"})) as one:
        good, bad = one.journal("r0"), one.journal("r1")
        results = await asyncio.gather(
            good.checkpoint("s", 1, usage=Usage()), bad.checkpoint("s", 1, usage=Usage()), return_exceptions=True
        )
        assert results[0] is None
        assert isinstance(results[1], LeaseLost)
        assert bad.lost
        assert one.hints.told == ["r0"]


async def test_a_run_whose_data_is_refused_is_lost_alone() -> None:
    async with bench(Store(poison={"r1"})) as one:
        journals = [one.journal(f"r{n}") for n in range(3)]
        results = await asyncio.gather(
            *(journal.checkpoint("s", 1, usage=Usage()) for journal in journals), return_exceptions=True
        )
        assert [isinstance(result, LeaseLost) for result in results] == [False, True, False]


async def test_the_same_batch_is_written_again_while_the_database_is_away() -> None:
    async with bench(Store(faults=[StoreAway(), StoreAway()])) as one:
        await one.journal("r0").checkpoint("s", 1, usage=Usage())
        assert len(one.store.batches) == 3
        assert one.store.batches[0] == one.store.batches[1] == one.store.batches[2]


async def test_when_the_lease_ends_during_an_outage_the_run_is_lost() -> None:
    async with bench(Store(faults=[StoreAway()] * 3)) as one:
        waiting = asyncio.create_task(one.journal("r0").checkpoint("s", 1, usage=Usage()))
        while not one.store.batches:
            await asyncio.sleep(0)
        one.lease.held = False
        with pytest.raises(LeaseLost):
            await waiting


async def test_tokens_alone_leave_at_most_every_25_ms() -> None:
    async with bench(Store()) as one:
        journal = one.journal("r0")
        loop = asyncio.get_running_loop()
        journal.emit(events.text_start("a"))
        began = loop.time()
        while loop.time() - began < 0.3:
            journal.delta("a", "x")
            await asyncio.sleep(0.001)
        flushes = len(one.store.batches)
    assert 2 <= flushes <= 14


async def test_watchers_see_nothing_before_it_is_committed() -> None:
    store = Store(gate=asyncio.Event())
    async with bench(store) as one:
        feed = one.hub.open("r0", "t")
        feed.add(Chunk("r0", 1, (b"{}",)))
        journal = one.journal("r0")
        journal.emit(events.custom("x", 1))
        for _ in range(20):
            await asyncio.sleep(0)
        assert feed.last_seq == 1
        assert store.gate is not None
        store.gate.set()
        await journal.checkpoint("s", 1, usage=Usage())
        assert feed.last_seq == 2
