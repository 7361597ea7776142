"""The limits that all processes share: the gate's script in Redis, and a channel for each process to hear of its grants."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from headrace_llm.gate.adaptive import Adaptive
from headrace_llm.gate.limiter import Entered, Standing, View
from headrace_llm.gate.pace import Quota
from headrace_llm.gate.turns import CLASSES, Waiter
from headrace_llm.ports import Away, Told

PREFIX = "headrace:gate:"
"""Of every key; what follows is the limit's scope. See `key`."""
CHANNELS = PREFIX + "@"
"""Of every channel; the rest is the process."""
PROCESSES = PREFIX + "processes"
POOL_S = 5.0
"""The longest wait for one of the connections: so many calls may have been broken off at once."""
ALIVE_S = 5.0
"""A process that has said nothing for so long is not counted."""
SUBSCRIBE_S = 1.0
LISTEN_S = 5.0
"""The longest wait for a message, after which the connection is asked whether it lives."""

_ADAPTIVE = (
    "good",
    "step",
    "step_at",
    "step_calls",
    "step_wait",
    "ceiling",
    "ceiling_at",
    "cut_at",
    "hold_us",
    "depth",
    "reduced_at",
)
_ADDED = ("started_at", "held")
"""Of `_ADAPTIVE` too. What is added to the state comes last, so that two versions can share it during a rollout."""
FIELDS = (
    "requests_us", "tokens_us", "cool_us", "tokens_per_call", "seconds_per_call", *_ADAPTIVE,
    "second", "count0", "count1", "count2", "count3", "before0", "before1", "before2", "before3",
    "depth0", "depth1", "depth2", "now0", "now1", "now2", "credit0", "credit1", "credit2",
    *_ADDED,
)  # fmt: skip
"""Of the script's state, in the script's order."""
_SEEN = struct.Struct(f"<{len(FIELDS) + CLASSES + 1}d")
"""What it shows: those, the waits by class, and its time."""

_FAILURES = (exceptions.RedisError, OSError, TimeoutError)


def connect(url: str, *, timeout_s: float, connections: int) -> redis.asyncio.Redis:
    """Make a client that connects at its first question, which ends within `POOL_S` and about four times `timeout_s`.

    A question is asked twice: a connection that died unnoticed or a loop that was held up do not mean that Redis is away.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=POOL_S,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
    )
    return redis.asyncio.Redis.from_pool(pool)


class RedisLimits:
    """Implements `ports.SharedLimits`. The time is Redis's, for all processes, unless a test gives a clock of its own."""

    def __init__(
        self, client: redis.asyncio.Redis, process: str, *, most_waiting: int, clock: Callable[[], int] | None = None
    ) -> None:
        self._client = client
        self._clock = clock
        self._process = process
        self._most_waiting = most_waiting
        self._script = client.register_script(script())

    async def enter(self, scope: str, quota: Quota, waiter: Waiter, *, age_us: int, unblocks: int, number: int) -> Entered:
        """See `ports.SharedLimits`."""
        granted, refused, wait, due, now = await self._run(
            scope, quota, "enter", waiter.rank, waiter.weight, age_us, unblocks, number, waiter.tokens, waiter.latest_us,
            texts=(waiter.id, waiter.tenant),
        )  # fmt: skip
        return Entered(bool(granted), bool(refused), float(wait), float(due), now)

    async def pump(self, scope: str, quota: Quota) -> float:
        """See `ports.SharedLimits`."""
        return float(await self._run(scope, quota, "pump"))

    async def leave(self, scope: str, quota: Quota, waiter_id: str) -> bool:
        """See `ports.SharedLimits`."""
        return bool(await self._run(scope, quota, "leave", texts=(waiter_id,)))

    async def missing(self, scope: str, quota: Quota, waiter_ids: Sequence[str]) -> Sequence[str]:
        """See `ports.SharedLimits`."""
        return [one.decode() for one in await self._run(scope, quota, "missing", texts=waiter_ids)]

    async def standings(self, scope: str, quota: Quota, waiter_ids: Sequence[str]) -> Sequence[Standing | None]:
        """See `ports.SharedLimits`."""
        told = [float(one) for one in await self._run(scope, quota, "standings", texts=waiter_ids)]
        return [
            None if ahead < 0 else Standing(int(ahead), wait_us)
            for ahead, wait_us in zip(told[::2], told[1::2], strict=True)
        ]

    async def give_back(self, scope: str, quota: Quota, *, rank: int, tokens: int, granted_us: int) -> float:
        """See `ports.SharedLimits`."""
        return float(await self._run(scope, quota, "give_back", rank, tokens, granted_us))

    async def settle(self, scope: str, quota: Quota, *, reserved: int, used: int, seconds: float, granted_us: int) -> float:
        """See `ports.SharedLimits`."""
        return float(await self._run(scope, quota, "settle", reserved, used, seconds, granted_us))

    async def resize(self, scope: str, quota: Quota, waiter_id: str, *, tokens: int) -> None:
        """See `ports.SharedLimits`."""
        await self._run(scope, quota, "resize", tokens, texts=(waiter_id,))

    async def postpone(self, scope: str, quota: Quota, *, by_us: int) -> None:
        """See `ports.SharedLimits`."""
        await self._run(scope, quota, "postpone", by_us)

    async def refused(self, scope: str, quota: Quota, *, granted_us: int, pause_us: int, asked: bool) -> None:
        """See `ports.SharedLimits`."""
        await self._run(scope, quota, "refused", granted_us, pause_us, int(asked))

    async def rejoin(self, scope: str, quota: Quota, *, pause_us: int) -> None:
        """See `ports.SharedLimits`."""
        await self._run(scope, quota, "rejoin", pause_us)

    async def view(self, scope: str, quota: Quota) -> tuple[Adaptive, View]:
        """See `ports.SharedLimits`."""
        values = _SEEN.unpack(await self._run(scope, quota, "view"))
        waits, now = tuple(values[len(FIELDS) : -1]), values[-1]
        return decode(dict(zip(FIELDS, values, strict=False)), waits, now, quota)

    async def beat(self) -> Sequence[str]:
        """See `ports.SharedLimits`."""
        try:
            seconds, micros = await self._client.time()
            now = seconds + micros / 1_000_000
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.zadd(PROCESSES, {self._process: now})
                pipe.zremrangebyscore(PROCESSES, "-inf", now - ALIVE_S)
                pipe.zrange(PROCESSES, 0, -1)
                pipe.expire(PROCESSES, round(ALIVE_S * 2))
                _, _, alive, _ = await pipe.execute()
        except _FAILURES as error:
            raise _away(error) from error
        return sorted(one.decode() for one in alive)

    @asynccontextmanager
    async def listen(self, heard: Callable[[Told], None]) -> AsyncIterator[Awaitable[None]]:
        """See `ports.SharedLimits`."""
        pubsub = self._client.pubsub()
        try:
            await pubsub.subscribe(CHANNELS + self._process)
            # The server's word that it has subscribed; a grant published before that would be nobody's.
            if await pubsub.get_message(timeout=SUBSCRIBE_S) is None:
                raise TimeoutError("no answer to SUBSCRIBE")
        except _FAILURES as error:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            raise _away(error) from error
        hearing = asyncio.create_task(_hear(pubsub, heard), name="gate grants")
        try:
            yield hearing
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _run(self, scope: str, quota: Quota, operation: str, *own: float, texts: Sequence[str] = ()) -> Any:
        now = self._clock() if self._clock else 0
        # The client takes a microsecond for each argument: numbers are one.
        numbers = (quota.rpm, quota.tpm, quota.burst, quota.probe, self._most_waiting, now, *own)
        packed = struct.pack(f"<{len(numbers)}d", *numbers)
        try:
            return await self._script(keys=[key(scope)], args=[operation, CHANNELS, packed, *texts])
        except _FAILURES as error:
            raise _away(error) from error


def script() -> str:
    """The text of the gate's script: its files, one after another."""
    folder = resources.files("headrace_llm.gate") / "script"
    return "".join((folder / f"{part}.lua").read_text() for part in ("numbers", "ledger", "adaptive", "turns", "limiter"))


def key(scope: str) -> str:
    """The name of a limit's numbers; its other keys begin with it. The braces keep all of them on one node of a cluster."""
    return f"{PREFIX}{{{scope}}}"


def decode(state: dict[str, float], waits: tuple[float, ...], now: float, quota: Quota) -> tuple[Adaptive, View]:
    """The script's fields as what they mean."""
    from headrace_llm.gate import adaptive, pace

    known = Adaptive(**{name: state[name] for name in (*_ADAPTIVE, *_ADDED)})
    rest = 1 - (now % pace.MINUTE_US) / pace.MINUTE_US
    counts = [state[f"count{i}"] + state[f"before{i}"] * rest for i in range(CLASSES + 1)]
    view = View(
        factor=adaptive.factor(known, now),
        granted=tuple(counts[:CLASSES]),
        throttled=counts[CLASSES],
        depths=tuple(int(state[f"depth{i}"]) for i in range(CLASSES)),
        waits_us=waits,
        cooling_us=max(0.0, state["cool_us"] - now),
        seconds_per_call=state["seconds_per_call"],
        tokens_per_call=state["tokens_per_call"],
    )
    return known, view


async def _hear(pubsub: Any, heard: Callable[[Told], None]) -> None:
    try:
        while True:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=LISTEN_S)
            if message is not None and message["type"] == "message":
                told = _told(message["data"])
                if told is not None:
                    heard(told)
    except _FAILURES as error:
        raise _away(error) from error


def _told(message: bytes) -> Told | None:
    """A grant; None when it is no message of the script: whoever may publish can send anything."""
    try:
        base, waiter_id, rank, tokens, now = message.decode().rsplit("\n", 4)
        return Told(base[len(PREFIX) + 1 : -1], waiter_id, int(rank), int(tokens), int(now))
    except ValueError:
        return None


def _away(error: Exception) -> Away:
    return Away(f"{type(error).__name__}: {error}")
