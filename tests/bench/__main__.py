"""`python -m tests.bench`: runs, streams and their floors in one go, as tables. Ratios compare within this run only."""

import time

import aiohttp
import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench import floors, model_double, runs, stack, streams

SHAPES = (("page", 1, 200), ("page", 64, 1500), ("conversation", 1, 150), ("conversation", 64, 1000))
"""Kind, clients at once, runs."""
IDLE_STREAMS = 2_000
FLOODS = 5
REJOIN_RUNS, REJOIN_WATCHERS, REJOIN_MOST = 300, 10, 6

console = Console()


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _bare_stream_cpu_ms() -> tuple[float, float]:
    """Streams/s and CPU ms per stream of 20 events of a bare ASGI application, client included."""

    async def measure() -> tuple[float, float]:
        app = floors.BareSse(20)
        serving = floors.serve_bare(app)
        port = await anext(serving)
        async with aiohttp.ClientSession() as session:

            async def one() -> None:
                async with session.get(f"http://127.0.0.1:{port}/") as answer:
                    await answer.read()

            for _ in range(50):
                await one()
            started, cpu = time.perf_counter(), time.process_time()
            for _ in range(500):
                await one()
            seconds, used = time.perf_counter() - started, time.process_time() - cpu
        await serving.aclose()
        return 500 / seconds, used / 500 * 1000

    return uvloop.run(measure())


async def _floors(database_url: str) -> tuple[floors.Rate, floors.Rate]:
    return await floors.grpc_unary(1), await floors.asyncpg_insert(database_url, 1)


def _report_runs(results: list[runs.Result], grpc_floor: floors.Rate, insert_floor: floors.Rate, bare_ms: float) -> None:
    table = _table(
        "Whole runs, services and database on one core, client on the other; a model that answers at once",
        "kind", "clients", "runs/s", "first event p50 / p99 ms", "whole p50 / p99 ms", "CPU ms/run", "database", "events",
    )  # fmt: skip
    for one in results:
        table.add_row(
            one.kind, str(one.concurrency), f"{one.runs_per_s:.0f}", f"{one.first_ms[0]:.1f} / {one.first_ms[1]:.1f}",
            f"{one.whole_ms[0]:.1f} / {one.whole_ms[1]:.1f}", f"{sum(one.cpu_ms.values()):.2f}",
            f"{one.cpu_ms['postgres']:.2f}", f"{one.events:.1f}",
        )  # fmt: skip
    console.print(table)
    parts = _table("CPU ms per run, by process", "kind × clients", *results[0].cpu_ms)
    for one in results:
        parts.add_row(f"{one.kind} × {one.concurrency}", *(f"{value:.2f}" for value in one.cpu_ms.values()))
    console.print(parts)
    base = results[0]
    ratios = _table("Beside the floors (alone, one client)", "floor", "its ms", "first event ÷ it", "CPU per run ÷ its CPU")
    cpu = sum(base.cpu_ms.values())
    for name, rate in (("bare grpc.aio call", grpc_floor), ("bare asyncpg insert + commit", insert_floor)):
        ms = 1000 / rate.per_s
        ratios.add_row(name, f"{ms:.2f}", f"{base.first_ms[0] / ms:.1f}", f"{cpu / rate.cpu_ms:.1f}")
    ratios.add_row(
        "bare ASGI stream of 20 events", f"{bare_ms:.2f}", f"{base.first_ms[0] / bare_ms:.1f}", f"{cpu / bare_ms:.1f}"
    )
    console.print(ratios)


async def _waiting_run(one: stack.Stack) -> str:
    """A run that will not end while streams watch it: its only node waits for a document that takes long."""
    body = {"kind": "page", "blueprint": runs.WAITING, "inputs": {}}
    async with aiohttp.ClientSession() as session, session.post(f"{one.url}/api/tasks", json=body) as answer:
        answer.raise_for_status()
        return str((await answer.json())["run_id"])


async def _streams(one: stack.Stack) -> tuple[streams.Idle, streams.Rejoins]:
    idle = await streams.idle(one, streams=IDLE_STREAMS, run_id=await _waiting_run(one))
    return idle, await streams.rejoins(one, runs=REJOIN_RUNS, watchers=REJOIN_WATCHERS, most=REJOIN_MOST, seed=7)


def main() -> None:
    """Measure everything."""
    bare_rate, bare_ms = _bare_stream_cpu_ms()
    with stack.running() as one:
        results = [
            uvloop.run(runs.measure(one, kind=kind, concurrency=clients, runs=count)) for kind, clients, count in SHAPES
        ]
        grpc_floor, insert_floor = uvloop.run(_floors(one.database_url))
        _report_runs(results, grpc_floor, insert_floor, bare_ms)
        flood = uvloop.run(runs.measure(one, kind="flood", concurrency=1, runs=FLOODS))
        idle, back = uvloop.run(_streams(one))
    bare_kib = uvloop.run(streams.bare_idle_kib(streams=IDLE_STREAMS))
    table = _table("Streams", "what", "figure")
    table.add_row("bare ASGI streams of 20 events/s, client included", f"{bare_rate:.0f}")
    tokens_per_s = model_double.FLOOD / flood.whole_ms[0] * 1000
    table.add_row(
        "tokens/s of one run, model double → executor → edge → client", f"{tokens_per_s:.0f} in {flood.events:.0f} events"
    )
    table.add_row("KiB per idle stream of a bare ASGI application", f"{bare_kib:.0f}")
    table.add_row(f"{idle.streams} idle streams open in", f"{idle.open_s:.1f} s")
    table.add_row("KiB per idle stream, edge / executor", f"{idle.kib_per_stream:.0f} / {idle.executor_kib_per_stream:.0f}")
    table.add_row("GET /api/health/ready p99 meanwhile", f"{idle.health_ms:.1f} ms")
    table.add_row("rejoins at random points", f"{back.rejoins} in {back.seconds:.1f} s, {back.events} events")
    table.add_row("logs with a lost, doubled or misplaced event", str(back.wrong))
    console.print(table)


if __name__ == "__main__":
    main()
