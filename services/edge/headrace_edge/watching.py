"""Follows a run's events through broken streams and dead executors: each event once, in order, without a gap."""

import random
import time
from asyncio import sleep
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog
from headrace_runtime import errors

from headrace_edge import metrics, policy
from headrace_edge.ports import Event, Runs

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Watcher:
    """Reads runs' events."""

    runs: Runs
    retry_s: float
    """How long without any progress a stream is picked up again before giving up."""
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    async def follow(self, tenant: str, run_id: str, *, after: int) -> AsyncGenerator[Sequence[Event], None]:
        """Events after `after`, in batches, until the run's last one; none when `after` is past the end of an ended run.

        Raises Unavailable once `retry_s` have passed without progress, and whatever else the executor answers.
        """
        last, failures, broken_at = after, 0, 0.0
        while True:
            cause = "deadline"
            try:
                async with aclosing(self.runs.watch(tenant, run_id, after=last)) as batches:
                    async for batch in batches:
                        fresh = _after(batch, last)
                        if fresh:
                            last, failures = fresh[-1].seq, 0
                            yield fresh
                return
            except errors.OutOfRange:
                return
            except errors.DeadlineExceeded:
                failures = 0
            except _Gap:
                cause = "gap"
            except errors.Unavailable:
                cause = "unavailable"
            metrics.REWATCHES.labels(cause).inc()
            if cause != "deadline":
                now = self.clock()
                if failures == 0:
                    broken_at = now
                    log.info("watch_broken", run_id=run_id, after=last, cause=cause)
                if now - broken_at >= self.retry_s:
                    raise errors.Unavailable("the run's events cannot be read now; the run goes on", reason="EVENTS_AWAY")
                await sleep(policy.rewatch_delay_s(failures, jitter=self.jitter()))
                failures += 1


class _Gap(Exception):
    """A batch left events out."""


def _after(batch: Sequence[Event], last: int) -> Sequence[Event]:
    """The batch's events after `last`. Raises _Gap when one is missing."""
    if not batch:
        return batch
    first = batch[0].seq
    if batch[-1].seq - first + 1 != len(batch):
        raise _Gap
    if first == last + 1:
        return batch
    if first > last + 1:
        raise _Gap
    return batch[last + 1 - first :]
