"""Committed events in memory: a bounded tail per run, which any number of watchers read at their own pace.

A feed never holds an event that is not committed. It may hold none at all: then a watcher reads the log.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from headrace_executor.runs.records import Chunk


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """How much memory the tails may take."""

    tail_bytes: int = 256 * 1024
    """Of one run."""
    idle_feeds: int = 512
    """Runs without watchers whose tails are kept, the newest."""


class Feed:
    """One run's tail. `last_seq` is the newest committed event that this process knows of."""

    def __init__(self, run_id: str, tenant_id: str, *, tail_bytes: int) -> None:
        self.run_id = run_id
        self.tenant_id = tenant_id
        self.last_seq = 0
        self.ended = False
        self.local = False
        """Whether this process owns the run, and so hears of every commit by itself."""
        self.watchers: set[asyncio.Event] = set()
        self._tail: deque[Chunk] = deque()
        self._bytes = 0
        self._limit = tail_bytes

    def add(self, chunk: Chunk) -> None:
        """Take in a committed chunk; one that is known already changes nothing."""
        if chunk.last_seq <= self.last_seq:
            return
        if self._tail and chunk.first_seq != self._tail[-1].last_seq + 1:
            self._tail.clear()
            self._bytes = 0
        self._tail.append(chunk)
        self._bytes += _size(chunk)
        while self._bytes > self._limit and len(self._tail) > 1:
            self._bytes -= _size(self._tail.popleft())
        self.advance(chunk.last_seq, ended=chunk.final)

    def advance(self, last_seq: int, *, ended: bool) -> None:
        """Note how far the log goes, and wake the watchers."""
        self.last_seq = max(self.last_seq, last_seq)
        self.ended = self.ended or ended
        for watcher in self.watchers:
            watcher.set()

    def after(self, seq: int) -> Sequence[Chunk] | None:
        """The chunks that hold events after `seq`; None when the tail does not reach back that far."""
        if seq >= self.last_seq:
            return ()
        if not self._tail or seq + 1 < self._tail[0].first_seq or self._tail[-1].last_seq < self.last_seq:
            return None
        return [chunk for chunk in self._tail if chunk.last_seq > seq]


class Hub:
    """All feeds of a process."""

    def __init__(self, limits: FeedLimits) -> None:
        self._limits = limits
        self._feeds: OrderedDict[str, Feed] = OrderedDict()
        self._trim_at = limits.idle_feeds

    def find(self, run_id: str) -> Feed | None:
        """The run's feed, if there is one."""
        return self._feeds.get(run_id)

    def open(self, run_id: str, tenant_id: str) -> Feed:
        """The run's feed, made where there is none."""
        feed = self._feeds.get(run_id)
        if feed is None:
            feed = self._feeds[run_id] = Feed(run_id, tenant_id, tail_bytes=self._limits.tail_bytes)
            if len(self._feeds) > self._trim_at:
                self._trim(keep=run_id)
        return feed

    @contextmanager
    def watching(self, feed: Feed) -> Iterator[asyncio.Event]:
        """An event that is set whenever the feed moves. The feed stays for as long as the block lasts."""
        moved = asyncio.Event()
        feed.watchers.add(moved)
        self._feeds[feed.run_id] = feed
        try:
            yield moved
        finally:
            feed.watchers.discard(moved)

    def remote(self) -> Iterator[Feed]:
        """The watched, unfinished feeds that other executors write."""
        return (feed for feed in self._feeds.values() if feed.watchers and not feed.local and not feed.ended)

    def _trim(self, *, keep: str) -> None:
        """Forget the oldest feeds that nobody needs."""
        spare = len(self._feeds) - self._limits.idle_feeds
        idle = [f.run_id for f in self._feeds.values() if not f.watchers and not f.local and f.run_id != keep]
        for run_id in idle[:spare]:
            del self._feeds[run_id]
        self._trim_at = len(self._feeds) + self._limits.idle_feeds // 8


def _size(chunk: Chunk) -> int:
    return sum(map(len, chunk.events))
