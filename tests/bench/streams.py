"""Streams: many idle ones, and clients that leave and come back."""

import asyncio
import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass

import aiohttp
import psutil
from headrace_cli.embedded.program import accepts, free_port

from tests.bench.runs import PATHS
from tests.bench.stack import Stack


@dataclass(frozen=True, slots=True)
class Idle:
    """Streams that wait for a run which does nothing."""

    streams: int
    open_s: float
    kib_per_stream: float
    """Resident memory that the edge gained, per stream."""
    executor_kib_per_stream: float
    health_ms: float
    """p99 of GET /api/health/ready while they are open."""


async def idle(stack: Stack, *, streams: int, run_id: str) -> Idle:
    """Open `streams` watchers of one waiting run and ask for health meanwhile."""
    before, executor = stack.rss_mib("edge"), stack.rss_mib("executor")
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        started = time.perf_counter()
        url = f"{stack.url}/api/tasks/{run_id}/events"

        async def watch() -> aiohttp.ClientResponse:
            answer = await session.get(url)
            answer.raise_for_status()
            await answer.content.readuntil(b"\n\n")
            return answer

        answers = []
        for batch in range(0, streams, 200):
            answers += await asyncio.gather(*(watch() for _ in range(min(200, streams - batch))))
        opened = time.perf_counter() - started
        waits = []
        for _ in range(100):
            asked = time.perf_counter()
            async with session.get(f"{stack.url}/api/health/ready") as health:
                await health.read()
            waits.append((time.perf_counter() - asked) * 1000)
        after, executor_after = stack.rss_mib("edge"), stack.rss_mib("executor")
        for answer in answers:
            answer.close()
    return Idle(
        streams, opened, (after - before) * 1024 / streams, (executor_after - executor) * 1024 / streams, sorted(waits)[98]
    )


async def bare_idle_kib(*, streams: int) -> float:
    """KiB of resident memory per idle stream of a bare ASGI application, in a process of its own."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.floors", str(port)])
    try:
        async with asyncio.timeout(30):
            while not accepts(port):
                await asyncio.sleep(0.05)
        before = psutil.Process(process.pid).memory_info().rss
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            answers = []
            for batch in range(0, streams, 200):
                count = min(200, streams - batch)
                answers += await asyncio.gather(*(session.get(f"http://127.0.0.1:{port}/hold") for _ in range(count)))
            after = psutil.Process(process.pid).memory_info().rss
            for answer in answers:
                answer.close()
        return (after - before) / 1024 / streams
    finally:
        process.kill()  # it holds two thousand streams and would wait for them
        process.wait(10)


@dataclass(frozen=True, slots=True)
class Rejoins:
    """Clients that dropped their stream at a random event and came back with Last-Event-ID."""

    rejoins: int
    seconds: float
    events: int
    wrong: int
    """Logs in which an event was missing, doubled or out of order."""


async def _follow(session: aiohttp.ClientSession, url: str, chance: random.Random, most: int) -> tuple[int, list[int]]:
    """Read a run's log, leaving after a random number of events at most `most` times; return the rejoins and the ids."""
    ids: list[int] = []
    rejoins = 0
    while True:
        leave_after = chance.randint(1, 6) if rejoins < most else 1 << 30
        headers = {"Last-Event-ID": str(ids[-1])} if ids else {}
        async with session.get(url, headers=headers) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"id: "):
                    ids.append(int(line[4:]))
                    leave_after -= 1
                elif line.startswith(b"data: ") and json.loads(line[6:])["type"] in ("RUN_FINISHED", "RUN_ERROR"):
                    return rejoins, ids
                if leave_after < 0:
                    ids.pop()  # read but for its data: as if it had never come
                    break
        rejoins += 1


async def rejoins(stack: Stack, *, runs: int, watchers: int, most: int, seed: int) -> Rejoins:
    """Start `runs` runs at once; each has `watchers` clients that rejoin up to `most` times, all in the same burst."""
    chance = random.Random(seed)
    _, request = PATHS["page"]
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def submit() -> str:
            async with session.post(f"{stack.url}/api/tasks", json={**request, "kind": "page"}) as answer:
                answer.raise_for_status()
                return str((await answer.json())["run_id"])

        started = time.perf_counter()
        run_ids = await asyncio.gather(*(submit() for _ in range(runs)))
        urls = [f"{stack.url}/api/tasks/{run_id}/events" for run_id in run_ids for _ in range(watchers)]
        followed = await asyncio.gather(*(_follow(session, url, random.Random(chance.random()), most) for url in urls))
        seconds = time.perf_counter() - started
    wrong = sum(ids != list(range(1, len(ids) + 1)) for _, ids in followed)
    return Rejoins(sum(one for one, _ in followed), seconds, sum(len(ids) for _, ids in followed), wrong)
