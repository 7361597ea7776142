"""A claimed run's log as its owner writes it: numbering, coalescing of tokens, what is open, the end.

It holds what is not yet stored, within limits; `flush.Flusher` takes that and says when it is committed.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from headrace_llm.usage import Usage

from headrace_executor import events
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import ClaimedRun, Failure, FailureCode, Json, Outcome, RunState, StepRecord
from headrace_executor.runs.openings import Openings
from headrace_executor.runs.records import Chunk, Ending, RunWrite, StepWrite

Event = Mapping[str, Any]

NOTHING_SPENT = orjson.dumps(Usage().to_json())
"""What most steps cost."""


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """How much of one run may wait to be stored."""

    events: int = 512
    """Above this many, or `size_bytes`, `drained` waits."""
    size_bytes: int = 512 * 1024
    """Of events and of steps' outputs together."""
    hard_factor: int = 16
    """At this many times those, `emit` and `delta` refuse; events alone count, for a step waits before the next."""


class RunJournal:
    """`ports.Journal`. Belongs to one event loop; its methods are not for other threads."""

    def __init__(
        self,
        run: ClaimedRun,
        *,
        last_seq: int,
        mark: Callable[["RunJournal", bool], None],
        limits: BufferLimits,
        steps: Mapping[str, StepRecord] | None = None,
        openings: Openings | None = None,
    ) -> None:
        """`last_seq` is the newest stored event's number; `mark(journal, urgent)` tells the flusher that there is more."""
        self.run = run
        self._steps = dict(steps or {})
        self.steps: Mapping[str, StepRecord] = self._steps
        self.committed_seq = last_seq
        self._mark = mark
        self._limits = limits
        self._openings = openings or Openings()
        self._usage = sum((step.usage for step in self.steps.values()), Usage())
        self._stepless = Usage()
        self._pending: list[bytes] = []
        self._bytes = 0
        self._delta_id = ""
        self._delta_parts: list[str] = []
        self._step_writes: list[StepWrite] = []
        self._step_bytes = 0
        self._ending: Ending | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._taken: list[asyncio.Future[None]] = []
        self._lost = False
        interrupted = self._openings.interrupt(run.run_id)
        if interrupted:
            self.emit(*interrupted)

    @property
    def lost(self) -> bool:
        """Whether the run is not ours any more."""
        return self._lost

    @property
    def ended(self) -> bool:
        """Whether an end was written, stored or not."""
        return self._ending is not None

    @property
    def usage(self) -> Usage:
        """What the finished steps of all owners cost, and what this one spent on steps that failed."""
        return self._usage

    def emit(self, *events: Event) -> None:
        """Append events; returns at once. Raises `LeaseLost` and, at the hard limit, `RunFailed`."""
        self._check()
        self._append(events)
        self._mark(self, True)

    def delta(self, message_id: str, text: str) -> None:
        """Append to an open text message; neighbours become one event. Raises as `emit` does."""
        self._check()
        if message_id != self._delta_id:
            self._seal()
            self._delta_id = message_id
        self._delta_parts.append(text)
        self._bytes += len(text)
        self._mark(self, False)

    async def checkpoint(self, step: str, output: Json, *, usage: Usage, events: Sequence[Event] = ()) -> None:
        """Record a step as finished and wait until it is stored with all that came before."""
        self.record(step, output, usage=usage, events=events)
        await self._stored()

    def record(self, step: str, output: Json, *, usage: Usage, events: Sequence[Event] = ()) -> None:
        """Record a step as finished; it is stored with the next flush. Raises as `emit` does."""
        self._check()
        self._append(events)
        self._seal()
        cost = orjson.dumps(usage.to_json()) if usage.models else NOTHING_SPENT
        write = StepWrite(step, orjson.dumps(output), cost)
        self._step_writes.append(write)
        self._step_bytes += len(write.output)
        self._steps[step] = StepRecord(output, usage)
        self._usage += usage
        self._mark(self, True)

    def spent(self, usage: Usage) -> None:
        """Count what a step has cost that will not finish."""
        self._usage += usage
        self._stepless += usage

    async def drained(self) -> None:
        """Wait until the buffer is below its soft limit."""
        limits = self._limits
        while len(self._pending) > limits.events or self._bytes + self._step_bytes > limits.size_bytes:
            await self._stored()

    async def succeed(self, outcome: Outcome) -> None:
        """End the run well, be it by asking back."""
        final = events.run_finished(
            self.run.session_id,
            self.run.run_id,
            result=outcome.output,
            usage=token_usage(self._usage),
            outcome="interrupt" if outcome.interrupts else "success",
            interrupts=outcome.interrupts,
        )
        await self._end(RunState.SUCCEEDED, final, output=orjson.dumps(outcome.output), reply=outcome.reply)

    async def fail(self, failure: Failure) -> None:
        """End the run badly."""
        final = events.run_error(failure.code.value, failure.message, retry_after_s=failure.retry_after_s)
        await self._end(RunState.FAILED, final, failure=failure)

    async def cancel(self) -> None:
        """End the run because somebody asked for it."""
        await self._end(RunState.CANCELLED, cancelled_event(self.run.session_id, self.run.run_id, self._usage))

    async def hand_back(self) -> None:
        """Put the run back into the queue, with everything closed, for another owner."""
        self._check()
        if self._stepless.models:
            name = f"spent:{self.run.attempt}"  # no step of any pipeline: only its usage is read
            self._step_writes.append(StepWrite(name, orjson.dumps(None), orjson.dumps(self._stepless.to_json())))
        self._append(self._openings.interrupt(self.run.run_id))
        self._ending = Ending(RunState.QUEUED)
        await self._stored()

    def take(self) -> RunWrite | None:
        """All that is not stored yet, or None. One taken write must be acknowledged or lost before the next is taken."""
        self._seal()
        if self._lost or not (self._pending or self._step_writes or self._ending):
            return None
        final = self._ending is not None and self._ending.state.ended
        write = RunWrite(
            run_id=self.run.run_id,
            fence=self.run.fence,
            session_id=self.run.session_id,
            chunk=Chunk(self.run.run_id, self.committed_seq + 1, tuple(self._pending), final),
            steps=tuple(self._step_writes),
            ending=self._ending,
            size=self._bytes + self._step_bytes,
        )
        self._pending = []
        self._step_writes = []
        self._bytes = self._step_bytes = 0
        self._taken, self._waiters = self._waiters, []
        return write

    def stored(self, write: RunWrite) -> None:
        """The write that was taken is committed."""
        self.committed_seq = write.chunk.last_seq
        for waiter in self._taken:
            if not waiter.done():
                waiter.set_result(None)
        self._taken = []

    def lose(self) -> None:
        """Another executor owns the run, or will: refuse whatever still comes."""
        if self._lost:
            return
        self._lost = True
        for waiter in (*self._taken, *self._waiters):
            if not waiter.done():
                waiter.set_exception(LeaseLost(self.run.run_id))
        self._taken, self._waiters, self._pending = [], [], []

    async def _end(
        self,
        state: RunState,
        final: Event,
        *,
        output: bytes = b"",
        failure: Failure | None = None,
        reply: str | None = None,
    ) -> None:
        self._check(hard=False)
        usage = self._usage.to_json()
        self._append((*self._openings.close(), events.custom("headrace.usage", usage), final))
        self._ending = Ending(state, output, failure, orjson.dumps(usage), reply)
        await self._stored()

    async def _stored(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._mark(self, True)
        await waiter

    def _check(self, *, hard: bool = True) -> None:
        if self._lost or self._ending is not None:
            raise LeaseLost(self.run.run_id)
        factor = self._limits.hard_factor
        too_many = len(self._pending) > self._limits.events * factor or self._bytes > self._limits.size_bytes * factor
        if hard and too_many:
            raise RunFailed(FailureCode.INTERNAL, "the run's events come faster than they can be stored")

    def _append(self, items: Iterable[Event]) -> None:
        self._seal()
        for item in items:
            self._openings.see(item)
            data = orjson.dumps(item)
            self._pending.append(data)
            self._bytes += len(data)

    def _seal(self) -> None:
        """Turn the tokens that came since the last event into one."""
        if self._delta_parts:
            text = "".join(self._delta_parts)
            self._pending.append(orjson.dumps(events.text_content(self._delta_id, text)))
            self._delta_parts = []
        self._delta_id = ""


def cancelled_event(session_id: str, run_id: str, usage: Usage) -> Event:
    """The last event of a run that was cancelled."""
    return events.run_finished(session_id, run_id, result=None, usage=token_usage(usage), outcome="cancelled")


def token_usage(usage: Usage) -> list[Json]:
    """AG-UI's TokenUsage, one per model."""
    return [
        {
            "model": name,
            "inputTokens": one.prompt_tokens,
            "outputTokens": one.completion_tokens,
            "totalTokens": one.prompt_tokens + one.completion_tokens,
        }
        for name, one in usage.models.items()
    ]
