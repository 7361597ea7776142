"""Whole runs through edge, executor and database: 4 steps and 20 chunks, with a model that answers at once."""

import asyncio
import json
import time
from dataclasses import dataclass

import aiohttp

from tests.bench.stack import Stack

BLUEPRINT = {
    "version": 1,
    "name": "bench",
    "nodes": [
        {"id": "a", "kind": "compute", "expr": "1 + 1"},
        {"id": "b", "kind": "compute", "expr": "nodes.a.output + 1"},
        {"id": "c", "kind": "compute", "expr": "nodes.b.output + 1"},
        {"id": "d", "kind": "compose", "prompt": "Say ${nodes.c.output}."},
    ],
    "output": "${nodes.d.output}",
}
WAITING = {
    "version": 1,
    "name": "waiting",
    "nodes": [{"id": "a", "kind": "compose", "prompt": "WAIT"}],
    "output": "${nodes.a.output}",
}
"""The model double holds its answer to a prompt that starts with WAIT."""
FLOOD = {**WAITING, "name": "flood", "nodes": [{"id": "a", "kind": "compose", "prompt": "FLOOD"}]}
"""The model double answers a prompt that starts with FLOOD with `model_double.FLOOD` tokens, as fast as they are taken."""
PATHS: dict[str, tuple[str, dict[str, object]]] = {
    "page": ("/api/page/generate", {"blueprint": BLUEPRINT}),
    "flood": ("/api/page/generate", {"blueprint": FLOOD}),
    "conversation": ("/api/conversation/stream", {"message": "Hello there!", "mode": "chat"}),
}


@dataclass(frozen=True, slots=True)
class Result:
    """Many runs of one kind."""

    kind: str
    concurrency: int
    runs_per_s: float
    cpu_ms: dict[str, float]
    """CPU per run, by process."""
    first_ms: tuple[float, float]
    """Submit to first event, p50 and p99."""
    whole_ms: tuple[float, float]
    events: float
    """Events per run."""


async def _one(session: aiohttp.ClientSession, url: str, body: bytes) -> tuple[float, float, int]:
    started = time.perf_counter()
    first, events, tail, finished = 0.0, 0, b"", False
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
        answer.raise_for_status()
        async for piece in answer.content.iter_any():
            count = (tail + piece).count(b"\ndata: ")
            if count and not first:
                first = time.perf_counter()
            events += count
            finished = finished or b'"RUN_FINISHED"' in tail + piece
            tail = (tail + piece)[-64:] if count == 0 else piece[-6:]
    if not finished:
        raise RuntimeError(f"a run did not succeed: {tail!r}")
    ended = time.perf_counter()
    return (first - started) * 1000, (ended - started) * 1000, events


def _quantiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


async def measure(stack: Stack, *, kind: str, concurrency: int, runs: int) -> Result:
    """Do `runs` runs, at most `concurrency` at once."""
    path, request = PATHS[kind]
    body, url = json.dumps(request).encode(), stack.url + path
    left = iter(range(runs))
    done: list[tuple[float, float, int]] = []
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:

        async def worker() -> None:
            done.extend([await _one(session, url, body) for _ in left])

        for _ in range(5):
            await _one(session, url, body)
        before, started = stack.cpu_s(), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        seconds, after = time.perf_counter() - started, stack.cpu_s()
    cpu = {name: (after[name] - before[name]) / runs * 1000 for name in before}
    return Result(
        kind=kind,
        concurrency=concurrency,
        runs_per_s=runs / seconds,
        cpu_ms=cpu,
        first_ms=_quantiles([one[0] for one in done]),
        whole_ms=_quantiles([one[1] for one in done]),
        events=sum(one[2] for one in done) / runs,
    )
