"""Limits that hold in this process: requests per minute, requests in work, open streams; of each key and of all."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from headrace_edge import metrics
from headrace_edge.auth import Caller
from headrace_edge.policy import Problem, Refused


def refuse(limit: str, status: int, detail: str, *, retry_after_s: int) -> Refused:
    """Count a refusal and make it."""
    metrics.REFUSED.labels(limit).inc()
    return Refused(Problem(status, f"LIMIT_{limit.upper()}", detail, retry_after_s=retry_after_s))


class Rates:
    """Requests per key in a moving window of one minute."""

    def __init__(self) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._items: dict[int, RateLimitItemPerMinute] = {}

    def admit(self, caller: Caller, *, now: float) -> None:
        """Count one request of `caller`. Raises Refused (429) past its limit; `now` is Unix time."""
        per_minute = caller.requests_per_minute
        if per_minute == 0:
            return
        item = self._items.get(per_minute)
        if item is None:
            item = self._items[per_minute] = RateLimitItemPerMinute(per_minute)
        if self._window.hit(item, caller.name):
            return
        wait_s = max(1, round(self._window.get_window_stats(item, caller.name).reset_time - now + 0.5))
        raise refuse("requests", 429, f"more than {per_minute} requests in a minute", retry_after_s=wait_s)


class Work:
    """Requests in work, streams aside."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def enter(self) -> None:
        """Take a place. Raises Refused (503) when there is none."""
        if self._count >= self._limit:
            raise refuse("concurrency", 503, f"{self._limit} requests are in work; none can wait", retry_after_s=1)
        self._count += 1
        metrics.IN_FLIGHT.set(self._count)

    def leave(self) -> None:
        """Give the place back."""
        self._count -= 1
        metrics.IN_FLIGHT.set(self._count)


class KeyWork:
    """Most requests in work of one key, streams not counted, so that places are left for other keys."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_key: Counter[str] = Counter()

    def enter(self, caller: Caller) -> Callable[[], None]:
        """Take a place; what is returned gives it back, once however often it is called. Raises Refused (429)."""
        name, held = caller.name, True
        if self._by_key[name] >= self._limit:
            raise refuse("key_concurrency", 429, f"this key has {self._limit} requests in work", retry_after_s=1)
        self._by_key[name] += 1

        def leave() -> None:
            nonlocal held
            if held:
                held = False
                self._by_key[name] -= 1
                if not self._by_key[name]:
                    del self._by_key[name]

        return leave


class Stream(Protocol):
    """An open stream that can be told to end."""

    def end(self, cause: str) -> None:
        """End it soon, cleanly."""


class Streams:
    """The open SSE streams."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Stream] = set()
        self._by_key: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def place(self, caller: Caller, stream: Stream) -> Iterator[None]:
        """Hold a place for `stream`. Raises Refused (429) when the caller's or all places are taken."""
        if self._by_key[caller.name] >= caller.max_streams:
            detail = f"this key has {caller.max_streams} open streams"
            raise refuse("key_streams", 429, detail, retry_after_s=5)
        if len(self._open) >= self._limit:
            raise refuse("streams", 429, f"{self._limit} streams are open", retry_after_s=5)
        self._open.add(stream)
        self._by_key[caller.name] += 1
        metrics.STREAMS.set(len(self._open))
        try:
            yield
        finally:
            self._open.discard(stream)
            self._by_key[caller.name] -= 1
            if not self._by_key[caller.name]:
                del self._by_key[caller.name]
            metrics.STREAMS.set(len(self._open))

    def opened(self) -> tuple[Stream, ...]:
        """The streams that are open now."""
        return tuple(self._open)
