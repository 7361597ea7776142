"""Wake-up hints over Redis pub/sub: one channel, one subscription per process. Losing them costs time, never work.

A message is a letter and ids with commas between: `q` (a run waits), `e ID,ID` (new events), `c ID` (cancel).
"""

import asyncio
from collections.abc import Callable, Sequence

import redis.asyncio
import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from headrace_executor import metrics

CHANNEL = "headrace:executor:hints"
TIMEOUT_S = 1.0
"""Longest wait for one answer of Redis."""
MAX_PENDING = 4_096
"""Runs whose hints wait to be sent; more are left to the watchers' poll."""
SPACING_S = 0.005
"""Shortest time between two messages: what comes in between goes together."""
ALONE_S = 1.0
"""While no other process listens, events are hinted this often, to find out when one does."""
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 2.0

log = structlog.get_logger()


class NoHints:
    """`stores.Hints` for a process without Redis: others find out by looking."""

    def queued(self) -> None:
        """Tell nobody."""

    def events(self, run_ids: Sequence[str]) -> None:
        """Tell nobody."""

    def cancel(self, run_id: str) -> None:
        """Tell nobody."""


class RedisHints:
    """`stores.Hints` over Redis. `publish` and `listen` run as long as the process does."""

    def __init__(self, url: str, *, database: str) -> None:
        """`database` tells suites apart that share a Redis."""
        self._client = redis.asyncio.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=None, max_connections=2
        )
        # A subscription waits in silence for as long as nothing happens.
        self._listener = redis.asyncio.from_url(
            url, socket_timeout=None, socket_connect_timeout=TIMEOUT_S, retry=None, health_check_interval=0
        )
        self._channel = f"{CHANNEL}:{database}"
        self._events: dict[str, None] = {}
        self._cancels: dict[str, None] = {}
        self._queued = False
        self._waiting = asyncio.Event()
        self._alone_until = 0.0
        self.on_queued: Callable[[], None] = lambda: None
        self.on_events: Callable[[Sequence[str]], None] = lambda _: None
        self.on_cancel: Callable[[Sequence[str]], None] = lambda _: None

    def queued(self) -> None:
        """A run waits that this executor does not claim."""
        self._queued = True
        self._waiting.set()

    def events(self, run_ids: Sequence[str]) -> None:
        """These runs have new events. Nothing is sent while nobody else listens."""
        if asyncio.get_running_loop().time() < self._alone_until:
            return
        if len(self._events) < MAX_PENDING:
            self._events.update(dict.fromkeys(run_ids))
            self._waiting.set()

    def cancel(self, run_id: str) -> None:
        """Somebody asked this run to end."""
        if len(self._cancels) < MAX_PENDING:
            self._cancels[run_id] = None
            self._waiting.set()

    async def publish(self) -> None:
        """Send until cancelled."""
        delay = FIRST_RETRY_S
        while True:
            _heed_cancellation()
            await self._waiting.wait()
            self._waiting.clear()
            try:
                await self._send()
                delay = FIRST_RETRY_S
                await asyncio.sleep(SPACING_S)
            except (RedisError, OSError) as error:
                metrics.HINTS.labels("failed").inc()
                log.warning("hints_not_sent", error=type(error).__name__)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_RETRY_S)

    async def listen(self) -> None:
        """Receive until cancelled, over a new connection whenever one is lost."""
        delay = FIRST_RETRY_S
        while True:
            _heed_cancellation()
            try:
                async with self._listener.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(self._channel)
                    delay = FIRST_RETRY_S
                    self.on_queued()  # hints may have been lost meanwhile
                    await self._receive(subscription)
            except (RedisError, OSError) as error:
                log.warning("hints_not_received", error=type(error).__name__)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_RETRY_S)

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._client, self._listener):
            await client.aclose()

    async def _send(self) -> None:
        queued, self._queued = self._queued, False
        events, self._events = self._events, {}
        cancels, self._cancels = self._cancels, {}
        messages = [b"q"] if queued else []
        messages += [f"{letter} {','.join(ids)}".encode() for letter, ids in (("e", events), ("c", cancels)) if ids]
        for message in messages:
            receivers = await self._client.publish(self._channel, message)
            metrics.HINTS.labels("sent").inc()
            alone = receivers <= 1  # this process is one of them
            self._alone_until = asyncio.get_running_loop().time() + ALONE_S if alone else 0.0

    async def _receive(self, subscription: PubSub) -> None:
        async for message in subscription.listen():
            metrics.HINTS.labels("received").inc()
            letter, _, rest = bytes(message["data"]).decode().partition(" ")
            ids = rest.split(",") if rest else []
            match letter:
                case "q":
                    self.on_queued()
                case "e":
                    self.on_events(ids)
                case "c":
                    self.on_cancel(ids)


def _heed_cancellation() -> None:
    """End a task whose cancellation the client swallowed: a timeout of its own at the same moment hides it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
