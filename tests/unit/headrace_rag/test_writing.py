"""One writer per workspace, each document once, and an end in order for whatever happens."""

import asyncio

import pytest
from headrace_rag import policy
from headrace_rag.errors import Draining, LeaseLost, TooManyWriters, WorkspaceBusy
from headrace_rag.model import Space, State
from headrace_rag.writing import Limits, Writer
from headrace_runtime.errors import DeadlineExceeded, NotFound, ResourceExhausted, Unavailable
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rag_doubles import MemoryDocuments, MemoryIndex, MemoryLock

SPACE = Space("acme", "w")


class Bench:
    """A writer over doubles."""

    def __init__(self, *, writers: int = 2, waiting: int = 50) -> None:
        self.documents, self.index, self.lock = MemoryDocuments(), MemoryIndex(), MemoryLock()
        self.writer = Writer(self.index, self.documents, self.lock, Limits(writers, waiting, longest_s=60))

    async def ingest(self, name: str, text: str = "text", *, space: Space = SPACE, budget_s: float | None = None) -> State:
        document, _ = await self.writer.ingest(space, policy.source(name, "", text), budget_s=budget_s)
        return document.state

    def state(self, name: str) -> State:
        return self.documents.rows[SPACE, name].state

    async def until(self, condition: str) -> None:
        async with asyncio.timeout(5):
            while not eval(condition, {"self": self, "len": len}):
                await asyncio.sleep(0)


async def test_the_same_text_is_read_once_whoever_calls() -> None:
    bench = Bench()

    states = await asyncio.gather(*(bench.ingest("a") for _ in range(20)))

    assert set(states) == {State.READY}
    assert bench.index.adds == 1


async def test_another_text_is_read_again() -> None:
    bench = Bench()

    await bench.ingest("a", "one")
    await bench.ingest("a", "two")

    assert bench.index.texts == {(SPACE, "a"): "two"}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y"]), st.sampled_from(["w", "v"])), max_size=25),
    st.integers(1, 4),
)
async def test_whatever_is_asked_at_once_no_workspace_has_two_writers(
    calls: list[tuple[str, str, str]], writers: int
) -> None:
    bench = Bench(writers=writers)

    await asyncio.gather(*(bench.ingest(name, text, space=Space("acme", space)) for name, text, space in calls))

    assert set(bench.index.texts) == {(Space("acme", space), name) for name, _, space in calls}
    assert all(row.state is State.READY for row in bench.documents.rows.values())
    assert bench.lock.held == []
    assert bench.writer._turns == {}


async def test_a_failure_is_noted_and_told_and_the_next_call_tries_again() -> None:
    bench = Bench()
    bench.index.error = ResourceExhausted("quota", retry_after_s=3)

    with pytest.raises(ResourceExhausted):
        await bench.ingest("a")

    assert (bench.state("a"), bench.documents.rows[SPACE, "a"].error) == (State.FAILED, "quota")
    bench.index.error = None
    assert await bench.ingest("a") is State.READY


async def test_a_bug_leaves_no_lock_behind() -> None:
    bench = Bench()
    bench.index.error = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        await bench.ingest("a")

    bench.index.error = None
    assert await bench.ingest("b") is State.READY
    assert bench.state("a") is State.FAILED, "the next writer says so"


async def test_a_workspace_held_elsewhere_is_busy_and_the_document_says_so() -> None:
    bench = Bench()
    bench.lock.elsewhere.add(SPACE)

    with pytest.raises(WorkspaceBusy):
        await bench.ingest("a")

    assert bench.state("a") is State.FAILED
    bench.lock.elsewhere.clear()
    assert await bench.ingest("a") is State.READY


async def test_a_writer_waits_no_longer_than_its_caller() -> None:
    bench = Bench()
    bench.index.gate = asyncio.Event()
    first = asyncio.create_task(bench.ingest("a"))
    await bench.until("self.index.adding")

    with pytest.raises(WorkspaceBusy):
        await bench.ingest("b", budget_s=0.7)

    bench.index.gate.set()
    assert await first is State.READY
    assert bench.state("b") is State.FAILED


async def test_a_caller_without_time_is_told_at_once() -> None:
    bench = Bench()

    with pytest.raises(DeadlineExceeded):
        await bench.ingest("a", budget_s=0.1)

    assert bench.index.adds == 0


async def test_more_than_may_wait_are_refused() -> None:
    bench = Bench(writers=1, waiting=1)
    bench.index.gate = asyncio.Event()
    calls = [asyncio.create_task(bench.ingest(name)) for name in "ab"]
    await bench.until("len(self.documents.rows) == 2")

    with pytest.raises(TooManyWriters):
        await bench.ingest("c")

    bench.index.gate.set()
    assert await asyncio.gather(*calls) == [State.READY, State.READY]


async def test_a_caller_who_leaves_stops_the_reading_but_not_its_order() -> None:
    bench = Bench()
    bench.index.gate = asyncio.Event()
    call = asyncio.create_task(bench.ingest("a"))
    await bench.until("self.index.adding")

    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await bench.until("not self.lock.held")

    assert bench.state("a") is State.FAILED
    assert bench.index.clears == 2, "before it began, and after it was stopped"


async def test_a_caller_who_leaves_the_queue_is_forgotten() -> None:
    bench = Bench()
    bench.index.gate = asyncio.Event()
    first = asyncio.create_task(bench.ingest("a"))
    await bench.until("self.index.adding")
    waiting = asyncio.create_task(bench.ingest("b"))
    await bench.until("len(self.documents.rows) == 2")

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await bench.until("len(self.writer._jobs) == 1")
    bench.index.gate.set()

    assert await first is State.READY
    assert (bench.state("b"), bench.index.adds) == (State.FAILED, 1)


async def test_a_lost_lock_stops_the_reading() -> None:
    bench = Bench()
    bench.index.gate = asyncio.Event()
    call = asyncio.create_task(bench.ingest("a"))
    await bench.until("self.index.adding")

    bench.lock.lost.set()

    with pytest.raises(LeaseLost):
        await call
    assert bench.state("a") is State.FAILED


async def test_draining_ends_what_is_in_hand_and_takes_nothing_more() -> None:
    bench = Bench()
    bench.index.gate = asyncio.Event()
    call = asyncio.create_task(bench.ingest("a"))
    await bench.until("self.index.adding")

    drain = asyncio.create_task(bench.writer.drain())
    await asyncio.sleep(0)
    with pytest.raises(Draining):
        await bench.ingest("b")
    assert not drain.done()
    bench.index.gate.set()
    await drain

    assert await call is State.READY


async def test_closing_stops_what_is_in_hand() -> None:
    bench = Bench()
    bench.index.gate = asyncio.Event()
    call = asyncio.create_task(bench.ingest("a"))
    await bench.until("self.index.adding")

    await bench.writer.close(wait_s=5)

    with pytest.raises(Unavailable):
        await call
    assert bench.lock.held == []


async def test_a_document_is_removed_with_all_that_was_learnt() -> None:
    bench = Bench()
    await bench.ingest("a")

    await bench.writer.delete(SPACE, "a", budget_s=None)

    assert bench.index.texts == {}
    with pytest.raises(NotFound):
        await bench.writer.delete(SPACE, "a", budget_s=None)
