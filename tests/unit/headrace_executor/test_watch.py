"""Feeds and watchers against a log in memory: contiguous, whole, whatever the tail holds."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import pytest
from headrace_executor.model import RunState, StepRecord
from headrace_executor.runs.feeds import Feed, FeedLimits, Hub
from headrace_executor.runs.records import Chunk, Head
from headrace_executor.runs.watch import MAX_RESPONSE_BYTES, TAIL_BYTES, Tailer, Watchers
from headrace_runtime import errors
from hypothesis import given
from hypothesis import strategies as st


class Log:
    """`stores.LogStore` of one tenant's runs."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[Chunk]] = {}
        self.reads = 0
        self.largest = 0
        """Bytes that one `read_many` gave."""

    def append(self, run_id: str, count: int, *, size: int = 10, final: bool = False) -> Chunk:
        mine = self.chunks.setdefault(run_id, [])
        first = mine[-1].last_seq + 1 if mine else 1
        events = tuple(f"{first + n}".encode().ljust(size) for n in range(count))
        mine.append(Chunk(run_id, first, events, final))
        return mine[-1]

    async def head(self, run_id: str) -> Head | None:
        mine = self.chunks.get(run_id)
        if not mine:
            return None
        state = RunState.SUCCEEDED if mine[-1].final else RunState.RUNNING
        return Head("t", state, mine[-1].last_seq)

    async def output(self, tenant_id: str, run_id: str, step: str) -> Sequence[bytes] | None:
        return ()

    async def read(self, run_id: str, *, after: int, limit: int) -> Sequence[Chunk]:
        self.reads += 1
        await asyncio.sleep(0)
        return [chunk for chunk in self.chunks[run_id] if chunk.last_seq > after][:limit]

    async def read_many(self, after: Mapping[str, int], *, limit: int, max_bytes: int) -> Sequence[Chunk]:
        read = [await self.read(run_id, after=seq, limit=limit) for run_id, seq in after.items()]
        given: list[Chunk] = []
        for chunk in (chunk for place in zip_longest(*read) for chunk in place if chunk is not None):
            if sum(one.size for one in given) < max_bytes:
                given.append(chunk)
        self.largest = max(self.largest, sum(one.size for one in given))
        return given

    async def steps(self, run_id: str) -> Mapping[str, StepRecord]:
        return {}


async def collect(watchers: Watchers, run_id: str, after: int) -> list[int]:
    seen: list[int] = []
    async for batch in watchers.watch("t", run_id, after=after):
        assert batch
        assert all(int(data) == seq for seq, data in batch)
        seen += [seq for seq, _ in batch]
    return seen


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    tail_bytes=st.integers(1, 200),
    afters=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    known=st.lists(st.booleans(), min_size=30, max_size=30),
)
async def test_any_watcher_gets_each_event_once_and_in_order(
    sizes: list[int], tail_bytes: int, afters: list[int], known: list[bool]
) -> None:
    """Some chunks reach the feed, some only the log; watchers begin anywhere and at any time."""
    log = Log()
    hub = Hub(FeedLimits(tail_bytes=tail_bytes))
    watchers = Watchers(log, hub, limit=100)
    hub.open("r", "t").add(log.append("r", 1))
    tasks: list[tuple[int, asyncio.Task[list[int]]]] = []
    for position, size in enumerate(sizes):
        chunk = log.append("r", size, final=position == len(sizes) - 1)
        feed = hub.open("r", "t")
        if known[position] or chunk.final:
            feed.add(chunk)
        else:
            feed.advance(chunk.last_seq, ended=False)
        if position < len(afters):
            after = min(afters[position], chunk.last_seq)
            tasks.append((after, asyncio.create_task(collect(watchers, "r", after))))
        await asyncio.sleep(0)
    last = log.chunks["r"][-1].last_seq
    for after, task in tasks:
        assert await asyncio.wait_for(task, 2) == list(range(after + 1, last + 1))


async def test_the_tailer_brings_another_executors_events_in_one_read_for_all_runs() -> None:
    log, hub = Log(), Hub(FeedLimits())
    watchers, tailer = Watchers(log, hub, limit=10), Tailer(log, hub, poll_s=0.02)
    for run_id in ("a", "b"):
        log.append(run_id, 2)
    following = asyncio.create_task(tailer.run())
    watching = [asyncio.create_task(collect(watchers, run_id, 0)) for run_id in ("a", "b")]
    await asyncio.sleep(0.01)
    for run_id in ("a", "b"):
        log.append(run_id, 40)
        log.append(run_id, 1, final=True)
    tailer.hint(["a", "b", "unknown"])
    assert await asyncio.gather(*watching) == [list(range(1, 44))] * 2
    following.cancel()


async def test_the_tailer_reads_a_large_backlog_of_many_runs_in_bounded_pieces() -> None:
    log, hub = Log(), Hub(FeedLimits(tail_bytes=2 * TAIL_BYTES))
    watchers, tailer = Watchers(log, hub, limit=10), Tailer(log, hub, poll_s=60)
    runs = [f"r{n}" for n in range(6)]
    for run_id in runs:
        log.append(run_id, 1)
    watching = [asyncio.create_task(collect(watchers, run_id, 0)) for run_id in runs]
    while not all((feed := hub.find(run_id)) is not None and feed.watchers for run_id in runs):
        await asyncio.sleep(0)
    for run_id in runs:
        for _ in range(5):
            log.append(run_id, 1, size=TAIL_BYTES // 8)
        log.append(run_id, 1, final=True)
    following = asyncio.create_task(tailer.run())
    tailer.hint(runs)
    assert await asyncio.gather(*watching) == [list(range(1, 8))] * len(runs)
    assert TAIL_BYTES <= log.largest <= TAIL_BYTES + TAIL_BYTES // 8
    following.cancel()


async def test_a_large_backlog_comes_in_answers_of_bounded_size() -> None:
    log, hub = Log(), Hub(FeedLimits())
    for _ in range(8):
        log.append("r", 3, size=60_000)
    log.append("r", 1, size=MAX_RESPONSE_BYTES * 2, final=True)
    sizes = [
        (len(batch), sum(len(data) for _, data in batch))
        async for batch in Watchers(log, hub, limit=1).watch("t", "r", after=0)
    ]
    assert sum(count for count, _ in sizes) == 25
    assert all(size <= MAX_RESPONSE_BYTES or count == 1 for count, size in sizes)


async def test_who_asks_for_what_is_not_there_is_told() -> None:
    log, hub = Log(), Hub(FeedLimits())
    watchers = Watchers(log, hub, limit=10)
    log.append("r", 3, final=True)
    with pytest.raises(errors.NotFound):
        await collect(watchers, "other", 0)
    with pytest.raises(errors.OutOfRange):
        await collect(watchers, "r", 4)
    assert await collect(watchers, "r", 3) == []
    hub.open("theirs", "u").advance(1, ended=True)
    with pytest.raises(errors.NotFound):
        await collect(watchers, "theirs", 0)
    log.chunks["r"] = [Chunk("r", 3, (b"3",), final=True)]
    with pytest.raises(errors.DataLoss):
        await collect(Watchers(log, Hub(FeedLimits()), limit=1), "r", 0)


async def test_watchers_are_bounded_and_a_closed_one_makes_room() -> None:
    log = Log()
    log.append("r", 1)
    watchers = Watchers(log, Hub(FeedLimits()), limit=1)
    first = watchers.watch("t", "r", after=0)
    await anext(first)
    with pytest.raises(errors.ResourceExhausted):
        await collect(watchers, "r", 0)
    await first.aclose()  # type: ignore[attr-defined]
    assert await anext(watchers.watch("t", "r", after=0))


def test_only_idle_feeds_are_forgotten_the_oldest_first() -> None:
    hub = Hub(FeedLimits(idle_feeds=8))
    with hub.watching(hub.open("watched", "t")):
        hub.open("local", "t").local = True
        for n in range(50):
            hub.open(f"r{n}", "t")
        assert hub.find("watched")
        assert hub.find("local")
        assert hub.find("r49")
        assert hub.find("r0") is None


def test_a_feed_never_holds_more_than_its_bytes_and_one_chunk() -> None:
    feed = Feed("r", "t", tail_bytes=100)
    for n in range(1, 200):
        feed.add(Chunk("r", n, (b"x" * 40,)))
    held = feed.after(197)
    assert held is not None
    assert [chunk.first_seq for chunk in held] == [198, 199]
    assert feed.after(196) is None
