"""Expressions in worker processes: they answer, they end in time, and the event loop never waits for them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from headrace_executor.adapters.cel_process import LENGTH
from headrace_executor.adapters.cel_worker import CelWorkers
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode

ENDLESS = "inputs.l.all(a, inputs.l.all(b, a + b >= 0))"
"""Two loops over 40 000 items each: hours."""
LARGE: Mapping[str, Any] = {"inputs": {"l": list(range(40_000))}}


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[CelWorkers]:
    pool = CelWorkers(**options)
    try:
        await pool.begin()
        yield pool
    finally:
        await pool.close()


@pytest.fixture
async def workers() -> AsyncIterator[CelWorkers]:
    async with opened(workers=1, deadline_s=0.5) as pool:
        yield pool


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_evaluates_loops_over_inputs_and_outputs(workers: CelWorkers) -> None:
    scope = {"inputs": {"l": [1, 2, 3]}, "nodes": {"a": {"output": "Ä"}}}
    assert await workers.evaluate("inputs.l.map(x, x * 2)", scope) == [2, 4, 6]
    assert await workers.evaluate("inputs.l.map(x, nodes.a.output + string(x))", scope) == ["Ä1", "Ä2", "Ä3"]


async def test_a_worker_serves_many_requests(workers: CelWorkers) -> None:
    answers = await asyncio.gather(*(workers.evaluate(f"[{n}].map(x, x + 1)", {}) for n in range(40)))
    assert answers == [[n + 1] for n in range(40)]
    assert len(workers.processes) == 1


async def test_an_expression_that_does_not_end_is_ended_while_the_loop_goes_on(workers: CelWorkers) -> None:
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            worst = max(worst, time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    started = time.perf_counter()
    with pytest.raises(RunFailed, match=r"within 0\.5 s") as caught:
        await workers.evaluate(ENDLESS, LARGE)
    took = time.perf_counter() - started
    watching.cancel()
    assert caught.value.failure.code is FailureCode.INVALID_BLUEPRINT
    assert took < 3
    assert worst < 0.3
    assert await workers.evaluate("[1].map(x, x)", {}) == [1]


async def test_what_waits_behind_an_endless_one_is_served_after_it(workers: CelWorkers) -> None:
    endless, quick = await asyncio.gather(
        workers.evaluate(ENDLESS, LARGE), workers.evaluate("[2].map(x, x)", {}), return_exceptions=True
    )
    assert isinstance(endless, RunFailed)
    assert quick == [2]


async def test_an_expression_that_eats_memory_ends_within_its_limit() -> None:
    async with opened(workers=1, deadline_s=10) as pool:
        with pytest.raises(RunFailed, match="memory"):
            await pool.evaluate(
                "inputs.l.map(a, inputs.s + string(a))", {"inputs": {**LARGE["inputs"], "s": "x" * 100_000}}
            )
        assert await pool.evaluate("[1].map(x, x)", {}) == [1]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's choice of whom to end")
async def test_where_memory_runs_out_a_worker_is_ended_before_the_executor(workers: CelWorkers) -> None:
    (worker,) = workers.processes
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (os.getpid(), worker.pid)]
    assert scores == [scores[0], 1000]
    assert scores[0] < 1000


async def test_failures_say_why(workers: CelWorkers) -> None:
    for source, why in (("[1, 0].map(x, 1 / x)", "failed"), ("[1].map(x, y)", "y"), ("[1].map(", "failed")):
        with pytest.raises(RunFailed, match=why):
            await workers.evaluate(source, {})


async def test_a_worker_that_died_is_replaced_before_an_expression_needs_it(workers: CelWorkers) -> None:
    (dead,) = workers.processes
    os.kill(dead.pid, signal.SIGKILL)
    await until(lambda: workers.processes - {dead} != frozenset())
    (other,) = workers.processes
    assert await workers.evaluate("[3].map(x, x)", {}) == [3]
    assert workers.processes == {other}


async def test_a_worker_that_was_late_is_replaced_before_an_expression_needs_it(workers: CelWorkers) -> None:
    (late,) = workers.processes
    with pytest.raises(RunFailed, match=r"within 0\.5 s"):
        await workers.evaluate(ENDLESS, LARGE)
    await until(lambda: workers.processes - {late} != frozenset())
    assert late.returncode == -signal.SIGKILL


async def test_a_place_whose_worker_does_not_start_is_tried_again(
    workers: CelWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dead,) = workers.processes
    failed = asyncio.Event()

    async def fails(*_: Any, **__: Any) -> None:
        failed.set()
        raise BlockingIOError("no more processes")

    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "create_subprocess_exec", fails)
        os.kill(dead.pid, signal.SIGKILL)
        await asyncio.wait_for(failed.wait(), 30)
    assert await workers.evaluate("[3].map(x, x)", {}) == [3]


async def test_a_cancelled_request_leaves_no_worker_behind_with_its_answer(workers: CelWorkers) -> None:
    task = asyncio.create_task(workers.evaluate(ENDLESS, LARGE))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await workers.evaluate("[4].map(x, x)", {}) == [4]


async def test_too_many_waiting_are_refused_at_once() -> None:
    async with opened(workers=1, deadline_s=0.5, max_waiting=1) as pool:
        both = [asyncio.create_task(pool.evaluate("[1].map(x, x)", {})) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RunFailed, match="too many"):
            await pool.evaluate("[1].map(x, x)", {})
        assert await asyncio.gather(*both) == [[1], [1]]


async def test_an_expression_that_finds_no_worker_free_is_refused() -> None:
    async with opened(workers=1, deadline_s=30, wait_s=0.2) as pool:
        endless = asyncio.create_task(pool.evaluate(ENDLESS, LARGE))
        await asyncio.sleep(0)
        with pytest.raises(RunFailed, match=r"free for 0\.2 s"):
            await pool.evaluate("[1].map(x, x)", {})
        endless.cancel()


async def test_a_worker_ends_itself_when_nobody_watches_it() -> None:
    async with opened(workers=1, deadline_s=0.3) as pool:
        (process,) = pool.processes
        request = orjson.dumps({"source": ENDLESS, "scope": LARGE})
        assert process.stdin is not None
        process.stdin.write(LENGTH.pack(len(request)) + request)
        assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGALRM


async def test_all_workers_start_though_no_expression_has_asked() -> None:
    async with opened(workers=3, deadline_s=2) as pool:
        first = pool.processes
        assert len(first) == 1
        pool.fill()
        await until(lambda: len(pool.processes) == 3)
        ready = pool.processes
        assert first < ready
        assert await asyncio.gather(*(pool.evaluate(f"[{n}].map(x, x)", {}) for n in range(9))) == [[n] for n in range(9)]
        assert pool.processes == ready


async def test_that_the_first_worker_does_not_start_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RunFailed, match="could be started"):
        await CelWorkers().begin()


async def test_closing_ends_every_worker() -> None:
    async with opened(workers=2, deadline_s=2) as pool:
        pool.fill()
        await until(lambda: len(pool.processes) == 2)
        processes = pool.processes
    assert all(process.returncode is not None for process in processes)


async def test_closing_ends_a_worker_that_has_not_started_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*words: Any, **options: Any) -> asyncio.subprocess.Process:
        begun.append(await start(*words, **options))
        return begun[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    async with opened(workers=2, deadline_s=2) as pool:
        pool.fill()
        await until(lambda: len(begun) == 2)
    assert [process.returncode for process in begun] == [-signal.SIGKILL] * 2
