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
from headrace_edge.model import ENDED
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

    async def follow(
        self, tenant: str, run_id: str, *, after: int, opened: AsyncGenerator[Sequence[Event], None] | None = None
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Events after `after`, in batches, until the run's last one; none when `after` is past the end of an ended run.

        `opened` is a stream of them that is open already; it is closed here. Raises Unavailable once `retry_s` have
        passed without progress, and whatever else the executor answers.
        """
        last = after
        patience = _Patience(self)
        while True:
            try:
                stream, opened = opened or self.runs.watch(tenant, run_id, after=last), None
                async with aclosing(stream) as batches:
                    async for batch in batches:
                        fresh = _after(batch, last)
                        if fresh:
                            last = fresh[-1].seq
                            patience.renew()
                            yield fresh
                return
            except errors.OutOfRange:
                if (await self.runs.get(tenant, run_id)).run.status in ENDED:
                    return
                raise
            except errors.ServiceError as error:
                cause = _cause(error, begun=last > after)
                if cause is None:
                    raise
            except _Gap:
                cause = "gap"
            metrics.REWATCHES.labels(cause).inc()
            if cause != "renewal":
                await sleep(patience.delay_s(run_id, after=last, cause=cause))


class _Gap(Exception):
    """A batch left events out."""


@dataclass(slots=True)
class _Patience:
    """Counts failures since the last progress."""

    watcher: Watcher
    failures: int = 0
    since: float = 0.0

    def renew(self) -> None:
        self.failures = 0

    def delay_s(self, run_id: str, *, after: int, cause: str) -> float:
        """How long to wait before the next try. Raises Unavailable when it is over."""
        now = self.watcher.clock()
        if self.failures == 0:
            self.since = now
            log.info("watch_broken", run_id=run_id, after=after, cause=cause)
        if now - self.since >= self.watcher.retry_s:
            raise errors.Unavailable("the run's events cannot be read now; the run goes on", reason="EVENTS_AWAY")
        self.failures += 1
        return policy.rewatch_delay_s(self.failures - 1, jitter=self.watcher.jitter())


def _cause(error: errors.ServiceError, *, begun: bool) -> str | None:
    """Why a stream is to be picked up again; None when it is not."""
    if isinstance(error, errors.DeadlineExceeded):
        return "renewal"
    if isinstance(error, errors.Unavailable):
        return "unavailable"
    return "exhausted" if begun and isinstance(error, errors.ResourceExhausted) else None


def _after(batch: Sequence[Event], last: int) -> Sequence[Event]:
    """The batch's events after `last`. Raises _Gap when one is missing."""
    if not batch:
        return batch
    first = batch[0].seq
    if batch[-1].seq - first + 1 != len(batch) or first > last + 1:
        raise _Gap
    return batch if first == last + 1 else batch[last + 1 - first :]
