"""Whether the edge can serve: asks the parts behind it, at most once in a while however often it is asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from headrace_runtime import errors

from headrace_edge.draining import Drain
from headrace_edge.model import Check, Health

Probe = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Readiness:
    """The parts' health, kept for `ttl_s`. Without a needed part the edge is not ready; without another it is degraded."""

    probes: Mapping[str, Probe]
    needed: frozenset[str]
    version: str
    drain: Drain
    ttl_s: float
    clock: Callable[[], float] = time.monotonic
    _checks: asyncio.Task[dict[str, Check]] | None = None
    _asked_at: float = field(default=0.0)

    async def report(self) -> Health:
        """The health now, or up to `ttl_s` ago."""
        now = self.clock()
        if self._checks is None or (self._checks.done() and now - self._asked_at > self.ttl_s):
            self._asked_at = now
            self._checks = asyncio.create_task(self._ask(), name="readiness")
        checks = await asyncio.shield(self._checks)
        down = {name for name, check in checks.items() if check.status != "ok"}
        if self.drain.announced:
            return Health(status="draining", version=self.version, checks=checks)
        if down & self.needed:
            return Health(status="unavailable", version=self.version, checks=checks)
        return Health(status="degraded" if down else "ok", version=self.version, checks=checks)

    async def _ask(self) -> dict[str, Check]:
        results = await asyncio.gather(*(self._check(probe) for probe in self.probes.values()))
        return dict(zip(self.probes, results, strict=True))

    async def _check(self, probe: Probe) -> Check:
        started = self.clock()
        try:
            await probe()
        except errors.ServiceError as error:
            return Check(status="unavailable", latency_ms=self._ms(started), detail=error.reason.lower())
        return Check(status="ok", latency_ms=self._ms(started))

    def _ms(self, started: float) -> float:
        return round((self.clock() - started) * 1000, 3)
