"""Whatever breaks, a follower has each event once and in order."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_edge.watching import Watcher
from headrace_runtime import errors
from hypothesis import given
from hypothesis import strategies as st


@dataclass(frozen=True)
class Numbered:
    seq: int
    data: bytes = b"{}"


@dataclass
class Stub:
    """A run of `total` events whose streams do what `plan` says, then what a good one does."""

    total: int
    plan: list[tuple[int, int, str]] = field(default_factory=list)
    """Batch size, batches before the fault, the fault."""
    calls: list[int] = field(default_factory=list)

    async def watch(self, tenant: str, run_id: str, *, after: int) -> AsyncGenerator[Sequence[Numbered], None]:
        self.calls.append(after)
        size, count, fault = self.plan.pop(0) if self.plan else (100, 10_000, "")
        start = max(0, after - 2) if fault == "overlap" else after
        for number in range(count):
            first = start + number * size + 1
            if first > self.total:
                return
            yield [Numbered(seq) for seq in range(first, min(first + size, self.total + 1))]
        if fault == "gap" and after + count * size + 2 <= self.total:
            yield [Numbered(after + count * size + 2)]
        if fault == "hole":
            yield [Numbered(after + count * size + 1), Numbered(after + count * size + 3)]
        if fault == "deadline":
            raise errors.DeadlineExceeded("renew")
        raise errors.Unavailable("gone")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected")


def watcher(stub: Any, *, retry_s: float = 1e9, clock: Any = lambda: 0.0) -> Watcher:
    return Watcher(stub, retry_s, clock=clock, jitter=lambda: 0.0)


async def numbers(follower: AsyncGenerator[Sequence[Any], None]) -> list[int]:
    return [event.seq async for batch in follower for event in batch]


@pytest.fixture
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("headrace_edge.watching.sleep", sleep)


FAULTS = st.sampled_from(["unavailable", "deadline", "gap", "hole", "overlap"])
PLANS = st.lists(st.tuples(st.integers(1, 7), st.integers(0, 4), FAULTS), max_size=12)


@pytest.mark.usefixtures("_no_delay")
@given(total=st.integers(0, 60), plan=PLANS, leaves=st.lists(st.integers(0, 5), max_size=6), data=st.data())
def test_any_breaks_and_rejoins_give_each_event_once_in_order(
    total: int, plan: list[tuple[int, int, str]], leaves: list[int], data: st.DataObject
) -> None:
    async def reader() -> list[int]:
        stub = Stub(total, list(plan))
        have: list[int] = []
        for batches in leaves:
            async with aclosing(watcher(stub).follow("t", "r", after=len(have))) as follower:
                for _ in range(batches):
                    batch = await anext(follower, None)
                    if batch is None:
                        break
                    taken = data.draw(st.integers(0, len(batch)))
                    have.extend(event.seq for event in batch[:taken])
                    if taken < len(batch):
                        break
        have.extend(await numbers(watcher(stub).follow("t", "r", after=len(have))))
        return have

    assert asyncio.run(reader()) == list(range(1, total + 1))


@pytest.mark.usefixtures("_no_delay")
async def test_it_gives_up_when_there_is_no_progress_for_too_long() -> None:
    times = iter(range(0, 1000, 10))
    stub = Stub(5, [(1, 0, "unavailable")] * 100)
    with pytest.raises(errors.Unavailable, match="goes on"):
        await numbers(watcher(stub, retry_s=60, clock=lambda: next(times)).follow("t", "r", after=0))
    assert len(stub.calls) == 7


@pytest.mark.usefixtures("_no_delay")
async def test_progress_renews_its_patience() -> None:
    times = iter(range(0, 10_000, 40))
    stub = Stub(50, [(1, 1, "unavailable")] * 40)
    seen = await numbers(watcher(stub, retry_s=60, clock=lambda: next(times)).follow("t", "r", after=0))
    assert seen == list(range(1, 51))


async def test_other_errors_pass() -> None:
    class Gone(Stub):
        async def watch(self, tenant: str, run_id: str, *, after: int) -> AsyncGenerator[Sequence[Numbered], None]:
            if after == 0:
                raise errors.DataLoss("gone")
            yield []

    with pytest.raises(errors.DataLoss):
        await numbers(watcher(Gone(1)).follow("t", "r", after=0))
