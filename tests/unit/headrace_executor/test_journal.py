"""The journal alone: numbers, coalescing, what is open, limits, loss."""

import asyncio
from typing import Any

import orjson
import pytest
from headrace_executor import events
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import Failure, FailureCode, Outcome, RunState, StepRecord
from headrace_executor.runs.journal import BufferLimits, RunJournal, token_usage
from headrace_executor.runs.openings import Openings
from headrace_llm.usage import ModelUsage, Usage
from hypothesis import given
from hypothesis import strategies as st

from tests.support import agui
from tests.support.executor_fakes import PAID, claimed


class Store:
    """A flusher without a database: what was taken, in order."""

    def __init__(self, limits: BufferLimits | None = None, **options: Any) -> None:
        self.urgent = 0
        self.log: list[Any] = [events.run_started("s1", "r1")]
        self.writes: list[Any] = []
        self.journal = RunJournal(claimed({}), last_seq=1, mark=self._mark, limits=limits or BufferLimits(), **options)

    def _mark(self, journal: RunJournal, urgent: bool) -> None:
        self.urgent += urgent

    def flush(self) -> None:
        write = self.journal.take()
        if write is None:
            return
        assert write.chunk.first_seq == len(self.log) + 1
        self.log += [orjson.loads(event) for event in write.chunk.events]
        assert write.chunk.last_seq == len(self.log)
        self.writes.append(write)
        self.journal.stored(write)

    async def flushed(self, waiting: Any) -> Any:
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        self.flush()
        return await asyncio.wait_for(task, 1)


ACTIONS = st.lists(st.sampled_from(["delta a", "delta b", "emit", "flush", "checkpoint"]), max_size=40)


@given(ACTIONS, st.sampled_from(["succeed", "fail", "cancel"]))
async def test_any_order_of_calls_makes_a_legal_log_without_gaps(actions: list[str], end: str) -> None:
    store = Store()
    journal = store.journal
    said = {"a": "", "b": ""}
    journal.emit(events.step_started("node:x"), events.text_start("a"), events.text_start("b"))
    for n, action in enumerate(actions):
        match action.split():
            case ["delta", message]:
                journal.delta(message, f"{n} ")
                said[message] += f"{n} "
            case ["emit"]:
                journal.emit(events.custom("x", n))
            case ["flush"]:
                store.flush()
            case _:
                await store.flushed(journal.checkpoint(f"s{n}", n, usage=PAID))
    match end:
        case "succeed":
            await store.flushed(journal.succeed(Outcome({"reply": "x"}, reply="x")))
        case "fail":
            await store.flushed(journal.fail(Failure(FailureCode.PROVIDER, "no")))
        case _:
            await store.flushed(journal.cancel())
    agui.check(store.log)
    assert {message: agui.text(store.log, message) for message in said} == said
    usage = next(event["value"] for event in store.log if event.get("name") == "headrace.usage")
    assert usage["llm_calls"] == actions.count("checkpoint") * PAID.total.llm_calls
    assert store.writes[-1].chunk.final


async def test_neighbouring_tokens_of_one_message_are_one_event() -> None:
    store = Store()
    store.journal.emit(events.text_start("a"))
    for n in range(50):
        store.journal.delta("a", str(n))
    store.flush()
    assert [event["type"] for event in store.log[1:]] == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]


async def test_tokens_alone_are_not_urgent() -> None:
    store = Store()
    store.journal.emit(events.text_start("a"))
    before = store.urgent
    store.journal.delta("a", "x")
    assert store.urgent == before


async def test_a_checkpoint_is_in_the_write_that_has_all_before_it() -> None:
    store = Store()
    store.journal.emit(events.step_started("s"))
    await store.flushed(store.journal.checkpoint("s", {"n": 1}, usage=PAID, events=[events.step_finished("s")]))
    (write,) = store.writes
    assert [step.name for step in write.steps] == ["s"]
    assert len(write.chunk.events) == 2
    assert store.journal.steps["s"].output == {"n": 1}


async def test_what_a_failed_step_cost_is_in_the_runs_usage() -> None:
    store = Store()
    store.journal.spent(PAID)
    await store.flushed(store.journal.fail(Failure(FailureCode.PROVIDER, "no")))
    usage = next(event["value"] for event in store.log if event.get("name") == "headrace.usage")
    assert usage["llm_calls"] == PAID.total.llm_calls


async def test_a_checkpoint_waits_until_it_is_stored() -> None:
    store = Store()
    waiting = asyncio.ensure_future(store.journal.checkpoint("s", 1, usage=Usage()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    write = store.journal.take()
    await asyncio.sleep(0)
    assert not waiting.done()
    assert write is not None
    store.journal.stored(write)
    await waiting


async def test_what_an_earlier_owner_left_open_is_closed_before_the_first_event() -> None:
    openings = Openings()
    before = [events.step_started("node:a"), events.text_start("r1:a")]
    for event in before:
        openings.see(event)
    store = Store(openings=openings)
    store.log = [*store.log, *before]
    store.journal.committed_seq = len(store.log)
    store.journal.emit(events.step_started("node:a"))
    await store.flushed(store.journal.succeed(Outcome(None)))
    agui.check(store.log)
    assert [e["value"] for e in store.log if e.get("name") == "headrace.restarted"] == [
        {"step": "node:a", "message_id": "r1:a"}
    ]


async def test_after_its_end_a_journal_refuses_more() -> None:
    store = Store()
    await store.flushed(store.journal.succeed(Outcome(1)))
    with pytest.raises(LeaseLost):
        store.journal.emit(events.custom("x", 1))
    with pytest.raises(LeaseLost):
        await store.journal.fail(Failure(FailureCode.INTERNAL, "x"))
    assert [w.ending.state for w in store.writes if w.ending] == [RunState.SUCCEEDED]


async def test_a_lost_journal_fails_its_waiters_and_refuses_everything() -> None:
    store = Store()
    waiting = asyncio.ensure_future(store.journal.checkpoint("s", 1, usage=Usage()))
    await asyncio.sleep(0)
    store.journal.lose()
    with pytest.raises(LeaseLost):
        await waiting
    with pytest.raises(LeaseLost):
        store.journal.delta("a", "x")
    assert store.journal.take() is None


async def test_a_stream_waits_while_its_buffer_is_full() -> None:
    store = Store(BufferLimits(events=3, size_bytes=10_000))
    for n in range(5):
        store.journal.emit(events.custom("x", n))
    waiting = asyncio.ensure_future(store.journal.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    store.flush()
    await asyncio.wait_for(waiting, 1)


async def test_large_steps_fill_the_buffer_but_never_end_the_run() -> None:
    store = Store(BufferLimits(size_bytes=1000))
    for n in range(100):
        store.journal.record(f"node:n{n}", "x" * 2000, usage=Usage())
    waiting = asyncio.ensure_future(store.journal.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    store.flush()
    await asyncio.wait_for(waiting, 1)
    (write,) = store.writes
    assert write.size >= 100 * 2000


async def test_a_stream_that_never_waits_is_stopped_at_the_hard_limit() -> None:
    store = Store(BufferLimits(events=1000, size_bytes=100, hard_factor=2))
    store.journal.emit(events.text_start("a"))
    for _ in range(14):
        store.journal.delta("a", "0123456789")
    with pytest.raises(RunFailed):
        store.journal.delta("a", "0123456789")
    await store.flushed(store.journal.fail(Failure(FailureCode.INTERNAL, "too fast")))
    agui.check(store.log)


async def test_a_handed_back_run_is_queued_with_everything_closed() -> None:
    store = Store()
    store.journal.emit(events.step_started("node:a"), events.text_start("r1:a"))
    await store.flushed(store.journal.hand_back())
    (write,) = store.writes
    assert write.ending is not None
    assert write.ending.state is RunState.QUEUED
    assert not write.chunk.final
    agui.check(store.log, ended=False)
    assert [event["type"] for event in store.log[3:]] == ["TEXT_MESSAGE_END", "STEP_FINISHED", "CUSTOM"]


async def test_what_no_step_accounts_for_is_handed_on_with_the_run() -> None:
    store = Store()
    store.journal.spent(PAID)
    await store.flushed(store.journal.hand_back())
    (kept,) = store.writes[0].steps
    assert kept.name == "spent:1"
    record = StepRecord(None, Usage.from_json(orjson.loads(kept.usage)))
    assert Store(steps={kept.name: record}).journal.usage == PAID


def test_usage_is_told_as_the_protocols_token_counts() -> None:
    usage = Usage({"m": ModelUsage(2, 1, 30, 12, None)})
    assert token_usage(usage) == [{"model": "m", "inputTokens": 30, "outputTokens": 12, "totalTokens": 42}]
