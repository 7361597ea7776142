"""What the gate costs, beside a script that does nothing: `python -m tests.bench.gate`. Valkey has one core, we another."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio
import uvloop
from headrace_cli.embedded import program, valkey
from headrace_llm.adapters.redis_gate import RedisLimits, connect
from headrace_llm.client import Priority
from headrace_llm.gate.paced import PacedGate, process_id
from headrace_llm.ports import Ask
from headrace_llm.registry import Limits, ModelEntry, Registry
from rich.console import Console
from rich.table import Table

from tests.bench.stack import CLIENT_CORE, SERVER_CORE, pin

OPEN = ModelEntry(id="open", model="openai/open", limits=Limits(rpm=1_000_000, tpm=1_000_000_000))
"""So fast that nobody waits."""
BUSY = ModelEntry(id="busy", model="openai/busy", limits=Limits(rpm=600))
ASK = Ask(tokens=100, priority=Priority.STANDARD, tenant_id="t", max_wait_s=60.0)
HOPELESS = Ask(tokens=100, priority=Priority.STANDARD, tenant_id="t", max_wait_s=1.0)
WARM, CALLS, AT_ONCE, WAITING = 300, 4000, 16, 500
P99_MS = 1.0
"""What a call over the gate may cost, at p99."""

Operation = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one operation."""

    name: str
    p50_ms: float
    p99_ms: float
    """One after another."""
    per_s: float
    """`AT_ONCE` at a time."""
    client_us: float
    server_us: float
    """CPU, `AT_ONCE` at a time."""


async def measure(name: str, operation: Operation, client: redis.asyncio.Redis) -> Cost:
    """Do it one after another, then many at a time."""
    for _ in range(WARM):
        await operation()
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        await operation()
        times.append((time.perf_counter() - started) * 1000)
    left = iter(range(CALLS))

    async def one_after_another() -> None:
        for _ in left:
            await operation()

    server, cpu, started = await _server_s(client), time.process_time(), time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    served = await _server_s(client) - server
    times.sort()
    return Cost(
        name, times[CALLS // 2], times[CALLS * 99 // 100], CALLS / seconds, used / CALLS * 1e6, served / CALLS * 1e6
    )


async def _server_s(client: redis.asyncio.Redis) -> float:
    info = await client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


@asynccontextmanager
async def _gate(client: redis.asyncio.Redis) -> AsyncIterator[PacedGate]:
    process = process_id()
    shared = RedisLimits(client, process, most_waiting=10_000)
    gate = PacedGate(Registry.of([OPEN, BUSY]), shared, process=process, max_waiting=10_000)
    await gate.start()
    try:
        yield gate
    finally:
        await gate.close()


async def costs(url: str) -> list[Cost]:
    """Measure everything on one Valkey."""
    async with aclosing(connect(url, timeout_s=5.0, connections=AT_ONCE + 4)) as client, _gate(client) as gate:
        nothing = client.register_script("return 1")

        async def call() -> None:
            gate.settle(await gate.acquire(OPEN, ASK), actual_tokens=90, seconds=1.0)

        async def refused() -> None:
            await asyncio.gather(gate.acquire(BUSY, HOPELESS), return_exceptions=True)

        found = [
            await measure("bare EVALSHA", nothing, client),
            await measure("let through", lambda: gate.acquire(OPEN, ASK), client),
            await measure("let through, and settled", call, client),
        ]
        waiting = [asyncio.create_task(gate.acquire(BUSY, ASK)) for _ in range(WAITING)]
        found.append(await measure(f"refused, {WAITING} waiting", refused, client))
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return found


def report(found: list[Cost]) -> Table:
    """As a table, each beside the first."""
    table = Table(title=f"The gate on loopback, {CALLS} calls each", title_justify="left")
    for number, column in enumerate(
        (
            "",
            "p50 ms",
            "p99 ms",
            f"calls/s, {AT_ONCE} at once",
            "our CPU µs",
            "Valkey's CPU µs",
            "calls/s of Valkey's core",
            "÷ bare",
        )
    ):
        table.add_column(column, justify="left" if number == 0 else "right")
    bare = found[0]
    for one in found:
        table.add_row(
            one.name, f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", f"{one.per_s:.0f}", f"{one.client_us:.0f}",
            f"{one.server_us:.0f}", f"{1e6 / one.server_us:.0f}",
            f"{(one.client_us + one.server_us) / (bare.client_us + bare.server_us):.1f}",
        )  # fmt: skip
    return table


def main() -> None:
    """Measure and print."""
    console = Console(width=140, highlight=False)
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        home, port = Path(folder), program.free_port()
        pin(SERVER_CORE)
        with program.running(valkey.prepare(home / "valkey", port, home / "password"), home / "log"):
            pin(CLIENT_CORE)
            found = uvloop.run(costs(valkey.url(port, home / "password")))
    console.print(report(found))
    through = found[1]
    console.print(f"a call over the gate takes {through.p99_ms:.2f} ms at p99 (wanted < {P99_MS:g} ms)")


if __name__ == "__main__":
    main()
