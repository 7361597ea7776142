"""The scheduler: order, parallelism, failure and cancellation, against futures that the test controls."""

import asyncio

import pytest
from headrace_executor.engine.scheduler import run_graph


class Work:
    """Nodes that end when the test says so."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self._ends: dict[str, asyncio.Future[None]] = {}

    async def __call__(self, node: str) -> None:
        self.started.append(node)
        self._ends[node] = asyncio.get_running_loop().create_future()
        try:
            await self._ends[node]
        except asyncio.CancelledError:
            self.cancelled.append(node)
            raise

    async def end(self, node: str, error: Exception | None = None) -> None:
        if error is None:
            self._ends[node].set_result(None)
        else:
            self._ends[node].set_exception(error)
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


DIAMOND = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


async def test_a_node_starts_as_soon_as_all_its_needs_have_finished() -> None:
    work = Work()
    task = asyncio.create_task(run_graph(DIAMOND, work))
    await settle()
    assert work.started == ["a"]
    await work.end("a")
    assert work.started == ["a", "b", "c"]
    await work.end("c")
    assert work.started == ["a", "b", "c"]
    await work.end("b")
    assert work.started == ["a", "b", "c", "d"]
    await work.end("d")
    await task


async def test_no_more_than_the_limit_are_under_way_at_once() -> None:
    work = Work()
    task = asyncio.create_task(run_graph(dict.fromkeys("abcde", ()), work, max_parallel=2))
    await settle()
    assert work.started == ["a", "b"]
    await work.end("b")
    assert work.started == ["a", "b", "c"]
    for name in ("a", "c", "d", "e"):
        await work.end(name)
    await task
    assert work.started == list("abcde")


async def test_finished_nodes_are_not_run_and_meet_the_needs_of_others() -> None:
    work = Work()
    task = asyncio.create_task(run_graph(DIAMOND, work, finished=("a", "b")))
    await settle()
    assert work.started == ["c"]
    await work.end("c")
    await work.end("d")
    await task


async def test_nothing_left_to_do_ends_at_once() -> None:
    await run_graph(DIAMOND, Work(), finished=tuple("abcd"))


async def test_the_first_failure_cancels_the_others_and_is_raised_bare() -> None:
    work = Work()
    task = asyncio.create_task(run_graph({"a": (), "b": (), "c": ("a",)}, work))
    await settle()
    await work.end("a", ValueError("first"))
    with pytest.raises(ValueError, match="first"):
        await task
    assert work.cancelled == ["b"]
    assert "c" not in work.started


async def test_cancelling_the_caller_cancels_every_node() -> None:
    work = Work()
    task = asyncio.create_task(run_graph({"a": (), "b": ()}, work))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(work.cancelled) == ["a", "b"]
