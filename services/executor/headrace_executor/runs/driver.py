"""Drives one owned run through the pipeline to its end, whatever the end is."""

import asyncio
import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from headrace_executor import policy
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import Failure, FailureCode, Outcome, RunState
from headrace_executor.ports import Pipeline
from headrace_executor.runs.flush import Flusher
from headrace_executor.runs.journal import BufferLimits, RunJournal
from headrace_executor.runs.openings import Openings
from headrace_executor.runs.records import Claim
from headrace_executor.runs.recovery import read_past
from headrace_executor.runs.stores import LogStore

log = structlog.get_logger()


class Stop(enum.Enum):
    """Why a run is stopped before its end."""

    CANCEL = "cancel"
    DRAIN = "drain"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Driven:
    """How an owner left a run, and what it has cost so far."""

    state: RunState
    llm_calls: int


class Driver:
    """Knows how runs end; keeps nothing between them."""

    def __init__(
        self, pipeline: Pipeline, logs: LogStore, flusher: Flusher, *, buffer: BufferLimits, unwind_s: float
    ) -> None:
        """`unwind_s` is how long a stopped pipeline may take to clean up before it is left behind."""
        self._pipeline = pipeline
        self._logs = logs
        self._flusher = flusher
        self._buffer = buffer
        self._unwind_s = unwind_s

    async def drive(self, claim: Claim, stop: "asyncio.Future[Stop]") -> Driven:
        """Take a run to its end, or back into the queue, and say which.

        Raises `LeaseLost` when it is another executor's by now, `StoreAway` and `StoreRefused` when it could not begin.
        """
        journal = await self._journal(claim)
        state = await self._drive(claim, stop, journal)
        return Driven(state, journal.usage.total.llm_calls)

    async def _journal(self, claim: Claim) -> RunJournal:
        steps, openings = None, Openings()
        if claim.run.attempt > 1:
            steps, openings = await read_past(self._logs, claim.run.run_id)
        return RunJournal(
            claim.run,
            last_seq=claim.last_seq,
            mark=self._flusher.mark,
            limits=self._buffer,
            steps=steps,
            openings=openings,
        )

    async def _drive(self, claim: Claim, stop: "asyncio.Future[Stop]", journal: RunJournal) -> RunState:
        if claim.cancel_requested:
            await journal.cancel()
            return RunState.CANCELLED
        if policy.too_many_takeovers(claim.takeovers):
            await journal.fail(Failure(FailureCode.INTERNAL, _gave_up(claim.takeovers)))
            return RunState.FAILED
        left = (claim.run.deadline - datetime.now(UTC)).total_seconds()
        task = asyncio.create_task(self._pipeline.run(journal), name=f"pipeline {claim.run.run_id}")
        waits: set[asyncio.Future[Any]] = {task, stop}
        await asyncio.wait(waits, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return await self._conclude(task, journal)
        await self._unwind(task)
        if not stop.done():
            text = "the run was not done by its deadline; submit a smaller one"
            await journal.fail(Failure(FailureCode.DEADLINE, text))
            return RunState.FAILED
        return await self._stopped(stop.result(), journal)

    async def _conclude(self, task: asyncio.Task[Outcome], journal: RunJournal) -> RunState:
        if task.cancelled():
            await journal.fail(Failure(FailureCode.INTERNAL, "something inside the executor stopped the run"))
            return RunState.FAILED
        try:
            outcome = task.result()
        except LeaseLost:
            raise
        except RunFailed as error:
            await journal.fail(error.failure)
            return RunState.FAILED
        except Exception:
            log.exception("pipeline_failed")
            text = "something broke inside the executor; its log has the run's id"
            await journal.fail(Failure(FailureCode.INTERNAL, text))
            return RunState.FAILED
        await journal.succeed(outcome)
        return RunState.SUCCEEDED

    async def _stopped(self, why: Stop, journal: RunJournal) -> RunState:
        match why:
            case Stop.CANCEL:
                await journal.cancel()
                return RunState.CANCELLED
            case Stop.DRAIN:
                await journal.hand_back()
                return RunState.QUEUED
            case Stop.LOST:
                journal.lose()
                raise LeaseLost(journal.run.run_id)

    async def _unwind(self, task: asyncio.Task[Outcome]) -> None:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=self._unwind_s)
        if not done:
            log.error("pipeline_does_not_stop")
        elif not task.cancelled() and task.exception() is not None:
            log.info("pipeline_stopped", error=repr(task.exception()))


def _gave_up(takeovers: int) -> str:
    return (
        f"the run was taken over {takeovers} times and no step of it finished in between: each executor that worked on it "
        "died or broke off; it is not given to another one"
    )
