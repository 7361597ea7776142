"""The pacer that all processes share: gcra.lua in Redis, and this process's share of the quota while Redis is away."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib import resources
from typing import Any, TypeVar

import redis.asyncio
import structlog
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from headrace_llm import metrics
from headrace_llm.local_pacer import LocalPacer
from headrace_llm.policy import Limit, Slot

PREFIX = "headrace:gate:"
"""Of every key; the rest is the limit's scope."""

T = TypeVar("T")
Clock = Callable[[], float]

log = structlog.get_logger()


class Away(Exception):
    """Redis did not answer in time, or cannot answer now."""


def connect(url: str, *, timeout_s: float, connections: int) -> redis.asyncio.Redis:
    """Make a client whose every question ends within about twice `timeout_s`. It connects at its first question."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)


class RedisPacer:
    """Runs gcra.lua. Raises `Away` for whatever Redis does not do."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        text = resources.files("headrace_llm").joinpath("gcra.lua").read_text()
        self._script = client.register_script(text)

    async def reserve(self, scope: str, limit: Limit, *, tokens: int, max_wait_us: int) -> Slot:
        """See `ports.Pacer`."""
        token_us = limit.tokens_us(tokens)
        granted, wait, now, turn, requests, slot = await self._run(
            scope, "reserve", limit.request_us, limit.request_burst_us, token_us, max_wait_us
        )
        return Slot(bool(granted), wait, now, turn, token_us if granted else 0, requests, slot)

    async def cooling_us(self, scope: str) -> int:
        """See `ports.Pacer`."""
        return int(await self._run(scope, "cooling"))

    async def give_back(self, scope: str, slot: Slot) -> None:
        """See `ports.Pacer`."""
        await self._run(scope, "give_back", slot.turn, slot.token_us, slot.before_requests_us, slot.before_slot_us)

    async def adjust(self, scope: str, limit: Limit, slot: Slot, *, tokens: int) -> None:
        """See `ports.Pacer`."""
        await self._run(scope, "adjust", limit.tokens_us(tokens))

    async def cool_down(self, scope: str, *, for_us: int) -> None:
        """See `ports.Pacer`."""
        await self._run(scope, "cool_down", for_us)

    async def _run(self, scope: str, operation: str, *numbers: int) -> Any:
        try:
            return await self._script(keys=[PREFIX + scope], args=[operation, *numbers])
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            raise Away(f"{type(error).__name__}: {error}") from error


class SharedPacer:
    """Asks Redis; after a failure, paces this process by its share of each limit until Redis answers again.

    A slot is given back to the pacer that gave it. A cool-down is noted in both, so that none is lost at a change.
    """

    def __init__(self, shared: RedisPacer, *, share: float, retry_s: float, clock: Clock = time.monotonic) -> None:
        self._shared = shared
        self._own = LocalPacer(clock=clock)
        self._share = share
        self._retry_s = retry_s
        self._clock = clock
        self._away_until = 0.0
        self._away = False
        metrics.GATE_FALLBACK.set(0)

    @property
    def falling_back(self) -> bool:
        """Whether this process paces itself."""
        return self._away

    async def reserve(self, scope: str, limit: Limit, *, tokens: int, max_wait_us: int) -> Slot:
        """See `ports.Pacer`."""
        slot = await self._ask(lambda: self._shared.reserve(scope, limit, tokens=tokens, max_wait_us=max_wait_us))
        if slot is not None:
            return slot
        own = await self._own.reserve(scope, limit.part(self._share), tokens=tokens, max_wait_us=max_wait_us)
        return replace(own, own=True)

    async def cooling_us(self, scope: str) -> int:
        """See `ports.Pacer`."""
        return await self._ask(lambda: self._shared.cooling_us(scope)) or await self._own.cooling_us(scope)

    async def give_back(self, scope: str, slot: Slot) -> None:
        """See `ports.Pacer`."""
        if slot.own:
            await self._own.give_back(scope, slot)
        else:
            await self._ask(lambda: self._shared.give_back(scope, slot))

    async def adjust(self, scope: str, limit: Limit, slot: Slot, *, tokens: int) -> None:
        """See `ports.Pacer`."""
        if slot.own:
            await self._own.adjust(scope, limit.part(self._share), slot, tokens=tokens)
        else:
            await self._ask(lambda: self._shared.adjust(scope, limit, slot, tokens=tokens))

    async def cool_down(self, scope: str, *, for_us: int) -> None:
        """See `ports.Pacer`."""
        await self._own.cool_down(scope, for_us=for_us)
        await self._ask(lambda: self._shared.cool_down(scope, for_us=for_us))

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """Redis's answer, None while it is away."""
        if self._away and self._clock() < self._away_until:
            return None
        if self._away:
            self._away_until = self._clock() + self._retry_s  # one call tries, the others do not wait for it
        try:
            answer = await question()
        except Away as error:
            self._away_until = self._clock() + self._retry_s
            self._turn(away=True, cause=str(error))
            return None
        self._turn(away=False)
        return answer

    def _turn(self, *, away: bool, cause: str = "") -> None:
        if away == self._away:
            return
        self._away = away
        metrics.GATE_FALLBACK.set(away)
        if away:
            log.warning("gate_fallback", cause=cause, share=self._share)
        else:
            log.info("gate_recovered")
