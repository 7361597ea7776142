"""Shared limits in memory that answer late, out of order, or not at all."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar

from headrace_llm.gate.adaptive import Adaptive
from headrace_llm.gate.limiter import Entered, Limiter, Standing, View
from headrace_llm.gate.pace import Quota
from headrace_llm.gate.turns import Waiter, order
from headrace_llm.ports import Away, Told

T = TypeVar("T")


class Unsteady:
    """Implements `ports.SharedLimits` for every scope by a `Limiter`, with the books of what it granted."""

    def __init__(self, chance: Random, *, failing: float = 0.0) -> None:
        self.chance = chance
        self.failing = failing
        """How often a question is not answered, half of the time after it took effect."""
        self.limiters: dict[str, Limiter] = {}
        self.hearing: dict[str, Callable[[Told], None]] = {}
        self.granted: list[str] = []
        self.given_back = 0
        self.postponed = 0
        self._posts: set[asyncio.Task[None]] = set()

    async def enter(self, scope: str, quota: Quota, waiter: Waiter, *, age_us: int, unblocks: int, number: int) -> Entered:
        """See `ports.SharedLimits`."""

        def do() -> Entered:
            now_us = self.now_us()
            place = order(age_us=age_us, unblocks=unblocks, number=number, id=waiter.id)
            one = Waiter(
                waiter.id, waiter.rank, waiter.tenant, waiter.weight, place, waiter.tokens, now_us + waiter.latest_us
            )
            entered = self._limiter(scope, quota).enter(one, now_us=now_us, deliver=self._deliver(scope))
            if entered.granted:
                self.granted.append(waiter.id)
            return entered

        return await self._late(do)

    async def pump(self, scope: str, quota: Quota) -> float:
        """See `ports.SharedLimits`."""
        limiter = self._limiter(scope, quota)
        return await self._late(lambda: limiter.pump(now_us=self.now_us(), deliver=self._deliver(scope)))

    async def leave(self, scope: str, quota: Quota, waiter_id: str) -> bool:
        """See `ports.SharedLimits`."""
        return await self._late(lambda: self._limiter(scope, quota).turns.leave(waiter_id))

    async def missing(self, scope: str, quota: Quota, waiter_ids: Sequence[str]) -> Sequence[str]:
        """See `ports.SharedLimits`."""
        return await self._late(lambda: [one for one in waiter_ids if one not in self._limiter(scope, quota).turns])

    async def give_back(self, scope: str, quota: Quota, *, rank: int, tokens: int, granted_us: int) -> float:
        """See `ports.SharedLimits`."""

        def do() -> float:
            self.given_back += 1
            return self._limiter(scope, quota).give_back(
                rank=rank, tokens=tokens, granted_us=granted_us, now_us=self.now_us(), deliver=self._deliver(scope)
            )

        return await self._late(do)

    async def settle(self, scope: str, quota: Quota, *, reserved: int, used: int, seconds: float, granted_us: int) -> float:
        """See `ports.SharedLimits`."""
        told = {"reserved": reserved, "used": used, "granted_us": granted_us}
        limiter = self._limiter(scope, quota)
        return await self._late(
            lambda: limiter.settle(seconds=seconds, now_us=self.now_us(), deliver=self._deliver(scope), **told)
        )

    async def resize(self, scope: str, quota: Quota, waiter_id: str, *, tokens: int) -> None:
        """See `ports.SharedLimits`."""
        await self._late(lambda: self._limiter(scope, quota).turns.resize(waiter_id, tokens))

    async def postpone(self, scope: str, quota: Quota, *, by_us: int) -> None:
        """See `ports.SharedLimits`."""
        self.postponed += 1
        limiter = self._limiter(scope, quota)
        await self._late(lambda: limiter.postpone(by_us))

    async def standings(self, scope: str, quota: Quota, waiter_ids: Sequence[str]) -> Sequence[Standing | None]:
        """See `ports.SharedLimits`."""
        limiter = self._limiter(scope, quota)
        return await self._late(lambda: [limiter.standing(one, now_us=self.now_us()) for one in waiter_ids])

    async def refused(self, scope: str, quota: Quota, *, granted_us: int, pause_us: int, asked: bool) -> None:
        """See `ports.SharedLimits`."""
        limiter = self._limiter(scope, quota)
        await self._late(
            lambda: limiter.refused(granted_us=granted_us, pause_us=pause_us, asked=asked, now_us=self.now_us())
        )

    async def rejoin(self, scope: str, quota: Quota, *, pause_us: int) -> None:
        """See `ports.SharedLimits`. Nobody has to wait here."""
        await self._late(lambda: None)

    async def view(self, scope: str, quota: Quota) -> tuple[Adaptive, View]:
        """See `ports.SharedLimits`."""
        limiter = self._limiter(scope, quota)
        return await self._late(lambda: (limiter.adaptive, limiter.view(now_us=self.now_us())))

    async def beat(self) -> Sequence[str]:
        """See `ports.SharedLimits`."""
        return await self._late(lambda: sorted(self.hearing))

    @asynccontextmanager
    async def listen(self, heard: Callable[[Told], None]) -> AsyncIterator[Awaitable[None]]:
        """See `ports.SharedLimits`. There is one process, "p"."""
        await self._late(lambda: self.hearing.update(p=heard))
        yield asyncio.get_running_loop().create_future()
        del self.hearing["p"]

    async def quiet(self) -> None:
        """Wait until every grant has been heard."""
        while self._posts:
            await asyncio.gather(*self._posts)

    def now_us(self) -> int:
        """Its clock."""
        return time.time_ns() // 1000

    def _limiter(self, scope: str, quota: Quota) -> Limiter:
        return self.limiters.setdefault(scope, Limiter(quota))

    def _deliver(self, scope: str) -> Callable[[Waiter], bool]:
        def deliver(waiter: Waiter) -> bool:
            heard = self.hearing.get(waiter.id.split(":")[0])
            if heard is None:
                return False
            self.granted.append(waiter.id)
            told = Told(scope, waiter.id, waiter.rank, waiter.tokens, self.now_us())
            post = asyncio.get_running_loop().create_task(self._post(heard, told))
            self._posts.add(post)
            post.add_done_callback(self._posts.discard)
            return True

        return deliver

    async def _post(self, heard: Callable[[Told], None], told: Told) -> None:
        await self._pass()
        heard(told)

    async def _late(self, do: Callable[[], T]) -> T:
        await self._pass()
        fails = self.chance.random() < self.failing
        if fails and self.chance.random() < 0.5:
            raise Away("not asked")
        answer = do()
        await self._pass()
        if fails:
            raise Away("not answered")
        return answer

    async def _pass(self) -> None:
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)
