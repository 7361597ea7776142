"""`ports.Plans` in Redis, for all replicas. While Redis is away nothing is found or kept, and nobody waits for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

import redis.asyncio
import structlog
from redis import exceptions

from headrace_planner import metrics

PREFIX = "headrace:{plans}:1:"
"""Of every key. The braces keep them in one slot of a cluster."""
INDEX = PREFIX + "index"
TIMEOUT_S = 0.2
"""Longest that one question may take."""
RETRY_S = 1.0
"""How long after a failure Redis is left alone."""
MAX_PLANS = 256
"""Plans of all tenants that are kept; beyond that the oldest goes."""
CONNECTIONS = 4

_FAILURES = (exceptions.RedisError, OSError, TimeoutError)

Client = redis.asyncio.Redis

log = structlog.get_logger()


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> redis.asyncio.Redis:
    """Make a client that connects at its first question."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=None,
    )
    return redis.asyncio.Redis.from_pool(pool)


class RedisPlans:
    """Implements `ports.Plans`. `clock` gives seconds that only grow."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        ttl_s: float,
        timeout_s: float = TIMEOUT_S,
        max_plans: int = MAX_PLANS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._ttl_ms = round(ttl_s * 1000)
        self._timeout_s = timeout_s
        self._max_plans = max_plans
        self._clock = clock
        self._away_until = 0.0
        text = resources.files("headrace_planner.adapters").joinpath("keep.lua").read_text("utf-8")
        self._keep = client.register_script(text)

    async def get(self, key: str) -> bytes | None:
        """See `ports.Plans`."""
        found = await self._ask(lambda: self._client.get(PREFIX + key))
        return bytes(found) if found is not None else None

    async def put(self, key: str, data: bytes) -> None:
        """See `ports.Plans`."""
        args: list[bytes | int | str] = [data, self._ttl_ms, self._max_plans, PREFIX]
        await self._ask(lambda: self._keep(keys=[PREFIX + key, INDEX], args=args))

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any | None:
        """What Redis says, None while it is away."""
        now = self._clock()
        if now < self._away_until:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await question()
        except _FAILURES as error:
            self._away_until = self._clock() + RETRY_S
            metrics.REUSE_AWAY.set(1)
            log.info("plans_away", cause=type(error).__name__)
            return None
        metrics.REUSE_AWAY.set(0)
        return said
