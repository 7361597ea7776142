"""A recent view of queue, gates and registry, asked for when it is needed and at most twice a second."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from headrace_runtime import errors

from headrace_edge import metrics
from headrace_edge.ports import Catalog, Runs
from headrace_edge.quota.model import Quota

REFRESH_S = 0.5
"""Signals this young are used again."""
CHAINS_S = 60.0
"""How long the registry's fallbacks are used again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known at a time."""

    quota: Quota
    asked_at: float
    chains: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By model those that answer in its place, itself first."""


class Signals:
    """Asks for everybody at once; who gets None knows nothing and must not refuse for it."""

    def __init__(
        self,
        runs: Runs,
        catalog: Catalog,
        *,
        timeout_s: float,
        stale_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_s` bounds one question; an answer older than `stale_s` counts as none."""
        self._runs = runs
        self._catalog = catalog
        self._timeout_s = timeout_s
        self._stale_s = stale_s
        self._clock = clock
        self._last: Snapshot | None = None
        self._chains: Mapping[str, Sequence[str]] = {}
        self._chains_at: float | None = None
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None

    async def current(self) -> Snapshot | None:
        """The signals, half a second old at most, or `stale_s` while nobody answers."""
        if self._asking is None or self._asking.done():
            now = self._clock()
            if self._asked_at is None or now - self._asked_at > REFRESH_S:
                self._asked_at = now
                self._asking = asyncio.create_task(self._ask(now), name="quota-signals")
        if self._asking is not None:
            await asyncio.shield(self._asking)
        last = self._last
        if last is None:
            return None
        age_s = self._clock() - last.asked_at
        metrics.SIGNALS_AGE.set(age_s)
        return last if age_s <= self._stale_s else None

    async def _ask(self, now: float) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                quota = await self._runs.signals()
                if self._chains_at is None or now - self._chains_at > CHAINS_S:
                    models = (await self._catalog.models()).models
                    self._chains = {one.id: (one.id, *one.fallbacks) for one in models}
                    self._chains_at = now
        except (errors.ServiceError, TimeoutError) as error:
            metrics.SIGNALS_FAILED.inc()
            log.warning("signals_away", error=type(error).__name__, effect="runs are accepted unseen")
            return
        self._last = Snapshot(quota, now, self._chains)
