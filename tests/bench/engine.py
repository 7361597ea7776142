"""What the engine costs a run, beside its floors: `python -m tests.bench.engine`.

The example school's workflows with a provider of one second a call, beside the critical path, the process's first run among
them; a node with nothing to do, beside as many bare tasks and one INSERT of the same rows. Journal, flusher, Postgres and
workers for CEL are real.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from statistics import median
from typing import Any

import uvloop
from headrace_blueprint import validation
from headrace_blueprint.plan import Plan, compile_plan
from headrace_executor.adapters.cel_worker import WORKERS, CelWorkers
from headrace_executor.adapters.postgres.pages import RunPages
from headrace_executor.engine import catalog
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.ports import Cel, Models, Pages
from headrace_llm.client import ChatRequest, Completion
from headrace_llm.usage import ModelUsage, Usage
from headrace_tools.ports import Toolbox
from rich.console import Console
from rich.table import Table

from tests.bench.owner import Answers, Owner, Took, database, owner
from tests.bench.schedule import makespan
from tests.support import blueprints, school
from tests.support.executor_fakes import FakePlanner, FakeRag, FakeRouter, FakeSessions

Json = Any

NODES = 200
ROUNDS, WARM = 15, 3
IDLE = "bench.idle"
CALL_S, PIECES = 1.0, 20
"""A model's answer takes so long, in so many pieces at equal distances."""
REPORTS = 5
INPUTS = {"class_id": "c-j3b", "term": "2025-autumn-midterm", "language": "English"}
"""A class of 30."""
SAME_ROWS = """
WITH logged AS (
    INSERT INTO events (run_id, first_seq, last_seq, final, data) VALUES ($1, $2, $3, true, $4)
)
INSERT INTO steps (run_id, step, output, usage) SELECT $1, s.* FROM unnest($5::text[], $6::bytea[], $7::bytea[]) AS s
"""


class Provider:
    """`ports.Models`: each call takes `CALL_S`."""

    def __init__(self) -> None:
        self.calls = 0

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer."""
        async with aclosing(self.stream(request)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if isinstance(piece, Completion):
                    return piece
        raise AssertionError("a stream ends with its Completion")

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        """Answer in pieces, the last of them `CALL_S` after the call."""
        self.calls += 1
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(1, PIECES + 1):
            await asyncio.sleep(began + CALL_S * number / PIECES - loop.time())
            yield "word "
        usage = Usage({"bench": ModelUsage(1, 0, 10, PIECES, 0.0)})
        request.on_cost(usage)
        yield Completion("word " * PIECES, "bench", usage)


def pipeline(models: Models, toolbox: Toolbox, cel: Cel, pages: Pages | None = None) -> RunPipeline:
    """The executor's, for runs that ask no router, planner or rag service."""
    return RunPipeline(
        router=FakeRouter(),
        planner=FakePlanner({}),
        rag=FakeRag(),
        sessions=FakeSessions(),
        models=models,
        toolbox=toolbox,
        cel=cel,
        pages=pages,
    )


def document(*nodes: Json, inputs: Json | None = None) -> Json:
    """A blueprint whose output is that of its last node."""
    last = f"${{nodes.{nodes[-1]['id']}.output}}"
    return {"version": 1, "name": "bench", "inputs": inputs or {}, "nodes": list(nodes), "output": last}


def shapes() -> Mapping[str, tuple[Json, Json]]:
    """Blueprints of `NODES` nodes that do nothing, with their inputs."""
    item = {"id": "one", "kind": "compute", "expr": "item"}
    chain = [{"id": "n0", "kind": "compute", "expr": "1"}]
    chain += [{"id": f"n{n}", "kind": "compute", "expr": f"nodes.n{n - 1}.output"} for n in range(1, NODES)]
    each = {"id": "each", "kind": "map", "over": "${inputs.items}", "max": NODES, "concurrency": 16, "node": item}
    return {
        "compute, side by side": (document(*({"id": f"n{n}", "kind": "compute", "expr": "1"} for n in range(NODES))), {}),
        "data, side by side": (document(*({"id": f"n{n}", "kind": "data", "tool": IDLE} for n in range(NODES))), {}),
        "compute, a chain": (document(*chain), {}),
        "compute, items of a map": (
            document(each, inputs={"properties": {"items": {"type": "array"}}}),
            {"items": list(range(NODES))},
        ),
    }


async def floor(own: Owner, run_id: str) -> tuple[float, float]:
    """Seconds and CPU seconds of as many bare tasks as a run had steps, and one INSERT of the rows that it wrote."""
    steps = await own.pool.fetch("SELECT step, output, usage FROM steps WHERE run_id = $1", run_id)
    rows = await own.pool.fetch("SELECT last_seq, data FROM events WHERE run_id = $1 ORDER BY last_seq", run_id)
    other = await own.row()
    last_seq, data = rows[-1]["last_seq"], b"\n".join(row["data"] for row in rows)
    started, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in steps:
            group.create_task(asyncio.sleep(0))
    await own.pool.fetch(SAME_ROWS, other, 1, last_seq, data, *zip(*steps, strict=True))
    return time.perf_counter() - started, time.process_time() - cpu


async def overhead(own: Owner, cel: Cel) -> Table:
    """A run of each shape and its floor in turns."""
    idle = Answers({IDLE: {"type": "object"}}, lambda _name, _arguments: None)
    engine = pipeline(Provider(), idle, cel)
    title = f"{NODES} nodes with nothing to do, stored: µs per node, of {ROUNDS} runs"
    table = _table(title, "shape", "best", "floor", "÷", "median", "floor", "÷", "CPU, median", "floor's CPU", "÷")
    for name, (blueprint, inputs) in shapes().items():
        runs: list[Took] = []
        floors: list[tuple[float, float]] = []
        for _ in range(WARM + ROUNDS):
            runs.append(await own.run(engine, {"blueprint": blueprint, "inputs": inputs}))
            floors.append(await floor(own, runs[-1].run_id))
        took, cpu = [one.seconds for one in runs[WARM:]], [one.cpu_s for one in runs[WARM:]]
        bare, bare_cpu = zip(*floors[WARM:], strict=True)
        pairs = [(min(took), min(bare)), (median(took), median(bare)), (median(cpu), median(bare_cpu))]
        table.add_row(name, *(cell for pair in pairs for cell in _beside(*pair)))
    return table


def _beside(run_s: float, floor_s: float) -> tuple[str, str, str]:
    return f"{run_s / NODES * 1e6:.0f}", f"{floor_s / NODES * 1e6:.0f}", f"{run_s / floor_s:.1f}"


async def reports(own: Owner, cel: Cel) -> Table:
    """The school's workflows from their first step to their stored page, the class report before all else."""
    limits, provider = Limits(), Provider()
    toolbox = Answers(school.tools(), school.served)
    engine = pipeline(provider, toolbox, cel, RunPages(own.pool, max_per_tenant=1000))
    title = (
        f"A class of 30, {CALL_S:.0f} s a model's call, {limits.max_parallel_nodes} nodes at once; wanted: ÷ path ≤ 1.10"
    )
    columns = ("workflow", "runs", "calls", "critical path, s", "took, s: first / best / median", "÷ path: the same")
    table = _table(title, *columns)
    report, comments = school.document("class-report"), school.document("student-comments")
    rows = {
        "class report": (report, REPORTS),
        "student comments, 4 at once": (comments, REPORTS),
        "student comments, 8 at once": (_concurrent(comments, 8), REPORTS),
    }
    for name, (blueprint, rounds) in rows.items():
        path = makespan(_plan(blueprint), _outputs(blueprint), call_s=CALL_S, places=limits.max_parallel_nodes)
        before = provider.calls
        took = [(await own.run(engine, {"blueprint": blueprint, "inputs": INPUTS})).seconds for _ in range(rounds)]
        figures = (took[0], min(took), median(took))
        calls = (provider.calls - before) / rounds
        beside = " / ".join(f"{one / path:.2f}" for one in figures)
        table.add_row(name, f"{rounds}", f"{calls:.0f}", f"{path:.2f}", " / ".join(f"{one:.2f}" for one in figures), beside)
    return table


def _concurrent(blueprint: Json, items: int) -> Json:
    """The blueprint with so many items of each map at once."""
    nodes = [{**node, "concurrency": items} if node["kind"] == "map" else node for node in blueprint["nodes"]]
    return {**blueprint, "nodes": nodes}


def _plan(blueprint: Json) -> Plan:
    schemas = catalog.schemas(Answers(school.tools(), school.served), "bench")
    return compile_plan(validation.parse(blueprint, tools=schemas))


def _outputs(blueprint: Json) -> Mapping[str, Json]:
    return blueprints.outputs(blueprint, inputs=INPUTS, tools=school.tools(), call=school.served)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


async def main(dsn: str) -> None:
    """Measure on a Postgres of our own."""
    cel = CelWorkers()
    try:
        await cel.begin()
        cel.fill()
        async with owner(dsn) as own:
            while len(cel.processes) < WORKERS:  # as in a service that has been there for a second
                await asyncio.sleep(0.1)
            for measure in (reports, overhead):
                Console(width=124).print(await measure(own, cel))
    finally:
        await cel.close()


if __name__ == "__main__":
    with database() as dsn:
        uvloop.run(main(dsn))
