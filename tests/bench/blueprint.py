"""What a blueprint of 200 nodes costs before it runs, beside reading its JSON: `python -m tests.bench.blueprint`."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import orjson
from headrace_blueprint import expressions, references, tools, validation
from headrace_blueprint.plan import compile_plan
from rich.console import Console
from rich.table import Table

NODES = 200
ROUNDS = 60


def main() -> None:
    """Print the times: anew, and as they are when the process has seen the same expressions before."""
    data = orjson.dumps(document())
    read = validation.loads(data)
    parsed = validation.parse(read, tools=tools.SCHEMAS)
    steps: Mapping[str, Callable[[], object]] = {
        "orjson.loads": lambda: orjson.loads(data),
        "loads": lambda: validation.loads(data),
        "validate": lambda: validation.validate(read, tools=tools.SCHEMAS),
        "parse": lambda: validation.parse(read, tools=tools.SCHEMAS),
        "compile_plan": lambda: compile_plan(parsed),
        "loads, parse, compile_plan": lambda: compile_plan(validation.parse(validation.loads(data), tools=tools.SCHEMAS)),
    }
    title = f"{NODES} nodes, {len(data) / 1024:.0f} KiB: ms of CPU time, median of {ROUNDS}"
    table = Table("", "anew", "of orjson.loads", "again", "of orjson.loads", title=title, title_justify="left")
    floor = measured(steps["orjson.loads"], anew=False)
    for name, step in steps.items():
        anew, again = measured(step, anew=True), measured(step, anew=False)
        table.add_row(name, f"{anew:.2f}", f"{anew / floor:.0f} x", f"{again:.2f}", f"{again / floor:.0f} x")
    Console().print(table)


def document() -> Mapping[str, Any]:
    """Forty times the same five: a search, a condition over it, a map, a text under a branch, and a branch."""
    nodes: list[Mapping[str, Any]] = []
    for n in range(NODES // 5):
        before = f"text{n - 1}" if n else "found0"
        when = f"nodes.size{n}.output > {n} && inputs.deep"
        each = {"id": f"one{n}", "kind": "compose", "prompt": f"Shorten ${{item.text}} for ${{inputs.name}}, number {n}."}
        nodes += [
            {"id": f"found{n}", "kind": "data", "tool": "search", "args": {"query": f"${{inputs.name}} {n}", "top_k": 5}},
            {"id": f"size{n}", "kind": "compute", "expr": f"size(nodes.found{n}.output.chunks) + {n}"},
            {"id": f"each{n}", "kind": "map", "over": f"${{nodes.found{n}.output.chunks}}", "node": each},
            {"id": f"way{n}", "kind": "branch", "cases": [{"when": when, "then": [f"text{n}"]}]},
            {
                "id": f"text{n}",
                "kind": "compose",
                "prompt": f"Write on ${{nodes.each{n}.output}} after ${{nodes.{before}.output}} for ${{inputs.name}}.",
                "when": f"nodes.each{n}.output != null",
            },
        ]
    return {
        "version": 1,
        "name": "bench",
        "inputs": {"type": "object", "properties": {"name": {"type": "string"}, "deep": {"type": "boolean"}}},
        "nodes": nodes,
        "output": f"${{nodes.text{NODES // 5 - 1}.output}}",
    }


def measured(step: Callable[[], object], *, anew: bool) -> float:
    """Milliseconds of CPU time, the median of some rounds."""
    took = []
    for _ in range(ROUNDS):
        if anew:
            expressions.compile_expression.cache_clear()
            references.read.cache_clear()
        started = time.thread_time_ns()
        step()
        took.append((time.thread_time_ns() - started) / 1e6)
    return median(took)


if __name__ == "__main__":
    main()
