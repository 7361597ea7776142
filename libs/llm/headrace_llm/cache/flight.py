"""One call to a model and everybody in this process who waits for its answer."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from headrace_llm.cache import policy
from headrace_llm.client import Completion, Restarted, Wait
from headrace_llm.errors import InvalidAnswer, ProviderUnavailable
from headrace_llm.usage import Bill, Usage, unheard

Pilot = Callable[["Flight"], Coroutine[Any, Any, Completion]]
"""Asks the model: adds the pieces as they come, returns the answer."""


@dataclass(eq=False, slots=True)
class _Rider:
    """Who waits."""

    on_wait: Callable[[Wait], None] | None
    bill: Bill = field(default_factory=Bill)
    """What this one has paid of the call."""


class Flight:
    """A call that lives as long as somebody waits for it. The last one to leave before its end breaks it off.

    Each attempt is paid, once, by the rider that has waited longest when it ends; to the others the answer is free.
    """

    def __init__(self, pilot: Pilot) -> None:
        self._pieces: list[str | Restarted] = []
        self._begin = 0
        self._end: Completion | Exception | None = None
        self._news = asyncio.Event()
        self._riders: dict[_Rider, None] = {}
        """The first is the one that has waited longest."""
        self._task = asyncio.get_running_loop().create_task(self._fly(pilot), name="llm flight")

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._end is not None

    def add(self, piece: str | Restarted) -> None:
        """Hand a piece to all riders. What comes before a `Restarted` is void, and later riders are spared it."""
        if isinstance(piece, Restarted):
            self._begin = len(self._pieces)
        self._pieces.append(piece)
        self._tell()

    def note_wait(self, wait: Wait) -> None:
        """Tell all riders that want to know it where the call stands."""
        for rider in self._riders:
            if rider.on_wait is not None:
                rider.on_wait(wait)

    def note_cost(self, cost: Usage) -> None:
        """Tell who pays what an attempt cost."""
        for payer in self._riders:
            payer.bill.add(cost)
            return

    def when_over(self, call: Callable[[], None]) -> None:
        """Have `call` called at its end."""
        self._task.add_done_callback(lambda _: call())

    async def ride(
        self,
        *,
        patience_s: float | None = None,
        limit_s: float | None = None,
        on_wait: Callable[[Wait], None] | None = None,
        on_cost: Callable[[Usage], None] = unheard,
    ) -> AsyncGenerator[str | Restarted | Completion, None]:
        """The pieces so far and those to come, then the answer. Raises what the call raises.

        Raises `TimeoutError` when nothing came within `patience_s`, or the end not within `limit_s`.
        """
        rider = _Rider(on_wait, Bill(on_cost))
        self._riders[rider] = None
        begin = at = self._begin
        now = asyncio.get_running_loop().time()
        until = None if limit_s is None else now + limit_s
        first_until = until if patience_s is None else now + patience_s
        try:
            while self._end is None or at < len(self._pieces):
                while at < len(self._pieces):
                    yield self._pieces[at]
                    at += 1
                if self._end is None:
                    async with asyncio.timeout_at(until if at > begin else first_until):
                        await self._news.wait()
            end = _share(rider, self._end)
        finally:
            await self._leave(rider)
        yield end

    async def _leave(self, rider: _Rider) -> None:
        if self._end is None and len(self._riders) == 1:
            self._end = _broken_off()
            self._task.cancel()
            await asyncio.wait({self._task})  # who broke it off pays what it cost
        self._riders.pop(rider, None)

    async def _fly(self, pilot: Pilot) -> None:
        try:
            self._end = await pilot(self)
        except Exception as error:  # noqa: BLE001 -- the riders raise it
            self._end = error
        except BaseException:
            self._end = _broken_off()
            raise
        finally:
            self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _share(rider: _Rider, end: Completion | Exception) -> Completion:
    """A rider's own end, with what it paid. Raises what the call raised."""
    if isinstance(end, InvalidAnswer):
        raise InvalidAnswer(end.message, text=end.text, faults=end.faults, usage=rider.bill.usage) from end
    if isinstance(end, Exception):
        raise end
    if not rider.bill.usage.models:
        rider.bill.add(policy.free(end.model))
    return replace(end, usage=rider.bill.usage)


def _broken_off() -> ProviderUnavailable:
    return ProviderUnavailable("the call that was waited for was broken off")
