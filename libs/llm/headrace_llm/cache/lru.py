"""Keeps what was used last, within a number, a size and a time."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V
    size: int
    until: float


class Lru(Generic[V]):
    """A dictionary that forgets: first what was not used for longest. Its callers are tasks of one loop."""

    def __init__(self, *, max_entries: int, max_bytes: int, clock: Callable[[], float]) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[V]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """The size of all entries."""
        return self._bytes

    def get(self, key: str) -> V | None:
        """What is kept under `key`, None when it is not or was kept too long."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: str, value: V, *, size: int, ttl_s: float) -> None:
        """Keep `value` for `ttl_s` seconds at most; what is larger than all room is not kept."""
        self._drop(key)
        if size > self._max_bytes or ttl_s <= 0:
            return
        self._entries[key] = _Entry(value, size, self._clock() + ttl_s)
        self._bytes += size
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size
