"""Answers and leases in Redis, for all processes. While Redis is away nothing is found and nobody is waited for."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from typing import Any

import redis.asyncio
import structlog
from redis import exceptions
from redis.commands.core import AsyncScript

from headrace_llm import metrics
from headrace_llm.cache import codec
from headrace_llm.cache.policy import VERSION, Kept, Key
from headrace_llm.cache.ports import Found, Question, SharedRoom, Turn

PREFIX = f"headrace:{{cache}}:{VERSION}:"
"""Of every key. The braces keep them in one slot of a cluster."""
CHANNEL = PREFIX + "done"
LISTEN_S = 5.0
"""How long one read of the channel waits."""
UNSHARED = b"unshared"

FAILURES = (exceptions.RedisError, OSError, TimeoutError)

log = structlog.get_logger()


class _Bell:
    """Implements `ports.Bell`."""

    def __init__(self, subscribe: Callable[[], None]) -> None:
        self._subscribe = subscribe
        self._rung = asyncio.Event()
        self._unshared = False

    def mute(self) -> None:
        """See `ports.Bell`."""
        self._rung.clear()

    async def rung(self, *, timeout_s: float) -> Turn | None:
        """See `ports.Bell`."""
        self._subscribe()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        return Turn.ALONE if self._unshared else None

    def ring(self, *, unshared: bool = False) -> None:
        """Wake whoever waits."""
        self._unshared = unshared
        self._rung.set()


class RedisCache:
    """Implements `cache.ports.Shared`. One connection listens, from the first time that somebody waits for another."""

    def __init__(
        self, client: redis.asyncio.Redis, room: SharedRoom, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._room = room
        self._clock = clock
        self._look = self._script("look")
        self._renew = self._script("renew")
        self._settle = self._script("settle")
        self._bells: dict[str, set[_Bell]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._away = False
        self._away_until = 0.0
        metrics.CACHE_AWAY.set(0)

    async def look(self, question: Question) -> Found | Turn:
        """See `ports.Shared`."""
        keys = [f"{PREFIX}value:{question.key.tenant}:{question.key.digest}", _lease(question)]
        said = await self._run(self._look, keys, [question.token, self._lease_ms])
        if said is None:
            return Turn.ALONE
        if isinstance(said, int):
            return Turn.MINE if said else Turn.OTHERS
        value, ttl_ms = said
        try:
            return Found(codec.decode(value), ttl_ms / 1000)
        except ValueError as error:
            metrics.CACHE_NOT_SHARED.labels("unreadable").inc()
            log.warning("cache_unreadable", cause=str(error))
            return Turn.MINE  # without the lease; settling replaces what is there

    async def renew(self, question: Question) -> None:
        """See `ports.Shared`."""
        await self._run(self._renew, [_lease(question)], [question.token, self._lease_ms])

    async def settle(self, question: Question, *, kept: Kept | None, failed: bool = False) -> None:
        """See `ports.Shared`."""
        value = b"" if kept is None else self._encoded(kept)
        ring = b"look" if value or failed else UNSHARED
        key, room = question.key, self._room
        names = [PREFIX, key.tenant, key.digest, question.token, CHANNEL]
        said = await self._run(
            self._settle, [_lease(question)], [*names, ring, value, round(room.ttl_s * 1000), room.total_bytes]
        )
        if said == 0:
            metrics.CACHE_NOT_SHARED.labels("no_room").inc()

    @contextmanager
    def listen(self, key: Key) -> Iterator[_Bell]:
        """See `ports.Shared`."""
        bell = _Bell(self._subscribe)
        bells = self._bells.setdefault(key.digest, set())
        bells.add(bell)
        try:
            yield bell
        finally:
            bells.discard(bell)
            if not bells and self._bells.get(key.digest) is bells:
                del self._bells[key.digest]

    async def claim(self, name: str, token: str, *, for_s: float) -> bool:
        """Take a lease of any name, or hold it for longer, unless another has it; False also while Redis is away."""
        key, for_ms = f"{PREFIX}lease:{name}", round(for_s * 1000)
        try:
            taken = await self._client.set(key, token, nx=True, px=for_ms)
        except FAILURES as error:
            self._failed(error)
            return False
        return bool(taken or await self._run(self._renew, [key], [token, for_ms]))

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})

    @property
    def _lease_ms(self) -> int:
        return round(self._room.lease_s * 1000)

    def _script(self, name: str) -> AsyncScript:
        text = resources.files("headrace_llm.cache").joinpath(f"{name}.lua").read_text()
        return self._client.register_script(text)

    def _encoded(self, kept: Kept) -> bytes:
        """The bytes to keep, b"" for none."""
        try:
            value = codec.encode(kept)
        except ValueError:
            metrics.CACHE_NOT_SHARED.labels("unreadable").inc()
            return b""
        if len(value) > self._room.value_bytes:
            metrics.CACHE_NOT_SHARED.labels("too_large").inc()
            return b""
        return value

    async def _run(self, script: AsyncScript, keys: Sequence[str], args: Sequence[Any]) -> Any | None:
        """What the script returns, None while Redis is away."""
        now = self._clock()
        if now < self._away_until:
            return None
        if self._away:
            self._away_until = now + self._room.retry_s  # one call tries, the others do not wait for it
        try:
            said = await script(keys=keys, args=args)
        except FAILURES as error:
            self._failed(error)
            return None
        if self._away:
            self._turn(away=False)
        return said

    def _failed(self, error: Exception) -> None:
        self._away_until = self._clock() + self._room.retry_s
        if not self._away:
            self._turn(away=True, cause=type(error).__name__)  # its text may quote what was sent

    def _turn(self, *, away: bool, cause: str = "") -> None:
        self._away = away
        metrics.CACHE_AWAY.set(away)
        if away:
            log.warning("cache_away", cause=cause)
        else:
            self._away_until = 0.0
            log.info("cache_back")

    def _subscribe(self) -> None:
        if self._listener is None or self._listener.done():
            self._listener = asyncio.get_running_loop().create_task(self._hear(), name="llm cache listener")

    async def _hear(self) -> None:
        """Ring the bells of the questions that are done. What was missed while nobody listened, looking again finds."""
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    while True:
                        message = await channel.get_message(timeout=LISTEN_S)
                        if message is not None:
                            self._heard(message)
            except FAILURES as error:
                log.debug("cache_listener_lost", cause=type(error).__name__)
                await asyncio.sleep(self._room.retry_s)

    def _heard(self, message: dict[str, Any]) -> None:
        if message["type"] != "message":  # listening has begun (anew)
            for bell in [one for bells in self._bells.values() for one in bells]:
                bell.ring()
            return
        digest, _, verdict = bytes(message["data"]).partition(b" ")
        for bell in self._bells.get(digest.decode(), ()):
            bell.ring(unshared=verdict == UNSHARED)


def _lease(question: Question) -> str:
    return f"{PREFIX}lease:{question.key.tenant}:{question.key.digest}:{question.urgency}"
