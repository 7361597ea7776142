"""What the gate costs, beside a bare EVALSHA in the same run: `python -m tests.bench.gate`."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from itertools import count
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import redis.asyncio
import uvloop
from headrace_cli.embedded import program, valkey
from headrace_llm.adapters.redis_gate import RedisLimits, connect
from headrace_llm.client import Priority
from headrace_llm.gate.pace import Quota
from headrace_llm.gate.paced import PacedGate
from headrace_llm.gate.turns import Waiter
from headrace_llm.ports import Ask
from headrace_llm.registry import Limits, ModelEntry, Registry
from rich.console import Console
from rich.table import Table

CALLS = 4000
CALLERS = (1, 16)
BARE = "return redis.call('TIME')"
OPEN, CLOSED = Quota(rpm=60e6, tpm=60e9), Quota(rpm=1e-3, tpm=1e6)
"""One that lets everybody through, one that lets through one call in a thousand minutes."""
LATEST_US = 10**12
QUEUED, GRANTED = 1000, 640
REST_S = 2.0
ROUNDS = 3

Step = Callable[[int], Awaitable[object]]


async def redis_us(client: redis.asyncio.Redis, step: Step, calls: int = CALLS) -> float:
    """CPU microseconds of Redis's main thread for each call, one after the other; of some rounds the best."""
    rounds = []
    for _ in range(ROUNDS):
        before = await _used_s(client)
        for number in range(calls // ROUNDS):
            await step(number)
        rounds.append((await _used_s(client) - before) / (calls // ROUNDS) * 1e6)
    return min(rounds)


async def _used_s(client: redis.asyncio.Redis) -> float:
    used = await client.info("cpu")
    return float(used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"])


async def operations(client: redis.asyncio.Redis, bare: Step) -> Table:
    """What each operation costs Redis."""
    limits, numbers = RedisLimits(client, "bench", most_waiting=100_000), count()

    async def enter(scope: str, quota: Quota, tenant: str = "t") -> str:
        number = next(numbers)
        waiter = Waiter(f"bench:{number}", 1, tenant, 1.0, "", 100, LATEST_US)
        await limits.enter(scope, quota, waiter, age_us=number + 1, unblocks=0, number=number)
        return waiter.id

    async def queued_and_left(number: int) -> None:
        await limits.leave("closed", CLOSED, await enter("closed", CLOSED, f"t{number % 10}"))

    async with limits.listen(lambda _: None):
        await enter("closed", CLOSED)
        rows: list[tuple[str, Step]] = [
            ("bare EVALSHA", bare),
            ("enter, let through", lambda _: enter("open", OPEN)),
            ("settle", lambda _: limits.settle("open", OPEN, reserved=100, used=90, seconds=1.0, granted_us=1)),
            ("give back", lambda _: limits.give_back("open", OPEN, rank=1, tokens=100, granted_us=1)),
            ("pump, nobody waits", lambda _: limits.pump("open", OPEN)),
            ("enter into an empty queue, and leave", queued_and_left),
        ]
        figures = [(name, await redis_us(client, step)) for name, step in rows]
        for number in range(QUEUED):
            await enter("closed", CLOSED, f"t{number % 10}")
        waited: list[tuple[str, Step]] = [
            (f"enter among {QUEUED}, and leave", queued_and_left),
            (f"pump, {QUEUED} wait", lambda _: limits.pump("closed", CLOSED)),
        ]
        figures += [(name, await redis_us(client, step)) for name, step in waited]
        await limits.rejoin("resting", OPEN, pause_us=round(REST_S * 10**6))
        for number in range(GRANTED):
            await enter("resting", OPEN, f"t{number % 10}")
        await asyncio.sleep(REST_S)
        before = await _used_s(client)
        while await limits.pump("resting", OPEN) >= 0:
            pass
        figures.append(("a grant to one that waits", (await _used_s(client) - before) / GRANTED * 1e6))
    table = _table("CPU of Redis, µs", "operation", "µs", "÷ bare")
    for name, took in figures:
        table.add_row(name, f"{took:.1f}", f"{took / figures[0][1]:.1f}")
    return table


async def over_the_gate(client: redis.asyncio.Redis, bare: Step) -> Table:
    """What a call costs its process: a turn and its settling, and how long the turn takes."""
    entry = ModelEntry(id="m", model="openai/m", limits=Limits(rpm=1e6, tpm=1e9))
    limits = RedisLimits(client, "bench", most_waiting=100_000)
    gate = PacedGate(Registry.of([entry]), limits, process="bench", max_waiting=1000)
    await gate.start()

    async def turn(number: int) -> None:
        grant = await gate.acquire(entry, Ask(100, Priority.STANDARD, "t", 5.0, started_at=number + 1.0))
        gate.settle(grant, actual_tokens=90, seconds=1.0)

    table = _table("Through the gate", "what", "callers", "per s", "p50 ms", "p99 ms", "CPU µs here", "CPU µs of Redis")
    for callers in CALLERS:
        for name, step in (("bare EVALSHA", bare), ("acquire + settle", turn)):
            cpu, used, started = time.process_time(), await _used_s(client), time.perf_counter()
            numbers = iter(range(CALLS))
            took: list[float] = []

            async def caller(step: Step = step, numbers: Iterator[int] = numbers, took: list[float] = took) -> None:
                for number in numbers:
                    began = time.perf_counter()
                    await step(number)
                    took.append((time.perf_counter() - began) * 1000)

            await asyncio.gather(*(caller() for _ in range(callers)))
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            used, cuts = await _used_s(client) - used, quantiles(took, n=100)
            figures = (CALLS / seconds, cuts[49], cuts[98], cpu / CALLS * 1e6, used / CALLS * 1e6)
            table.add_row(name, str(callers), *("{:.0f} {:.2f} {:.2f} {:.0f} {:.0f}".format(*figures).split()))
    await gate.close()
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


async def main() -> None:
    """Measure on a Valkey of our own."""
    with TemporaryDirectory() as folder:
        home, port = Path(folder), program.free_port()
        with program.running(valkey.prepare(home / "data", port, home / "password"), home / "log"):
            async with aclosing(connect(valkey.url(port, home / "password"), timeout_s=5, connections=32)) as client:
                script = client.register_script(BARE)

                async def bare(_: int) -> None:
                    await script(keys=["k"], args=["a"] * 12)

                for table in (await operations(client, bare), await over_the_gate(client, bare)):
                    Console(width=110).print(table)


if __name__ == "__main__":
    uvloop.run(main())
