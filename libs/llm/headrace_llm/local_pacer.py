"""The pacer of one process: the policy's buckets in memory. It knows nothing of other processes."""

from collections.abc import Callable

from headrace_llm import policy
from headrace_llm.policy import Bucket, Limit, Slot


class LocalPacer:
    """Implements `ports.Pacer` without I/O. Its callers are tasks of one loop, so nothing needs a lock."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    async def reserve(self, scope: str, limit: Limit, *, tokens: int, max_wait_us: int) -> Slot:
        """See `ports.Pacer`."""
        bucket, slot = policy.reserve(
            self._bucket(scope), limit, tokens=tokens, now_us=self._now_us(), max_wait_us=max_wait_us
        )
        self._buckets[scope] = bucket
        return slot

    async def cooling_us(self, scope: str) -> int:
        """See `ports.Pacer`."""
        return max(0, self._bucket(scope).cool_us - self._now_us())

    async def give_back(self, scope: str, slot: Slot) -> None:
        """See `ports.Pacer`."""
        self._buckets[scope] = policy.give_back(self._bucket(scope), slot)

    async def adjust(self, scope: str, limit: Limit, slot: Slot, *, tokens: int) -> None:
        """See `ports.Pacer`."""
        self._buckets[scope] = policy.adjust(self._bucket(scope), token_us=limit.tokens_us(tokens))

    async def cool_down(self, scope: str, *, for_us: int) -> None:
        """See `ports.Pacer`."""
        self._buckets[scope] = policy.cool_down(self._bucket(scope), now_us=self._now_us(), for_us=for_us)

    def _bucket(self, scope: str) -> Bucket:
        return self._buckets.get(scope) or Bucket()

    def _now_us(self) -> int:
        return int(self._clock() * 1_000_000)
