"""How long a workflow takes at best: list scheduling of its graph in virtual time, without the engine. Pure."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_blueprint.model import Map, Node
from headrace_blueprint.plan import Plan

Json = Any


@dataclass(frozen=True, slots=True)
class Job:
    """A node, or one item of a map."""

    name: str
    needs: frozenset[str]
    seconds: float
    lane: str = ""
    """The map that it is an item of."""


def jobs(plan: Plan, outputs: Mapping[str, Json], *, call_s: float) -> Iterator[Job]:
    """What a plan comes to: a compose node that was not skipped takes `call_s`, everything else takes no time.

    `outputs` are those of a run: how many items each map has, and what was skipped.
    """
    for name in plan.order:
        node, output, needs = plan.nodes[name], outputs[name], plan.needs[name]
        if isinstance(node, Map):
            items = [f"{name}[{index}]" for index in range(len(output))]
            for item, value in zip(items, output, strict=True):
                yield Job(item, needs, _seconds(node.node, value, call_s), name)
            yield Job(name, frozenset(items) | needs, 0.0)
        else:
            yield Job(name, needs, _seconds(node, output, call_s))


def _seconds(node: Node, output: Json, call_s: float) -> float:
    return call_s if node.kind == "compose" and output is not None else 0.0


def makespan(plan: Plan, outputs: Mapping[str, Json], *, call_s: float, places: int) -> float:
    """Seconds until the last job ends, when each starts as soon as its needs, its map and `places` allow."""
    lanes = {name: node.concurrency for name, node in plan.nodes.items() if isinstance(node, Map)}
    waiting = list(jobs(plan, outputs, call_s=call_s))
    done: set[str] = set()
    busy: Counter[str] = Counter()
    running: list[tuple[float, str, str]] = []
    now = 0.0
    while waiting or running:
        for job in tuple(waiting):
            is_free = not job.lane or busy[job.lane] < lanes[job.lane]
            if len(running) < places and is_free and job.needs <= done:
                waiting.remove(job)
                busy[job.lane] += 1
                heapq.heappush(running, (now + job.seconds, job.name, job.lane))
        now, name, lane = heapq.heappop(running)
        busy[lane] -= 1
        done.add(name)
    return now
