"""What is offered: open-loop streams of calls that come at random, whatever becomes of those before. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from headrace_llm.client import Priority

WORKERS = 4


@dataclass(frozen=True, slots=True)
class Flow:
    """Calls of one kind."""

    name: str
    per_s: float
    """Of all workers together, on average; Poisson."""
    deadline_s: float = 60.0
    priority: int = Priority.STANDARD
    tenant: str = "load"
    max_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker has to do."""

    variant: str
    """See `clients`."""
    provider_url: str
    redis_url: str
    limits: Mapping[str, Any]
    """As in models.yaml."""
    flows: tuple[Flow, ...]
    seconds: float
    worker: int
    out: str
    """Where its records go, a line each."""
    targets: tuple[str, ...] = ()
    """Executors' addresses; empty for a gate in the worker's own process."""
    first_token_s: float | None = None
    """What the provider takes for a first token, when it always takes as long."""
    share: float = 1 / WORKERS
    """Of the calls, this worker's."""
    drain: bool = False
    """Whether to wait for every call's end; else they are cancelled when the time is over."""
    seed: int = 1

    def to_json(self) -> str:
        """For a worker's command line."""
        return json.dumps(asdict(self))

    @staticmethod
    def of(text: str) -> "Orders":
        """What `to_json` gave."""
        raw = json.loads(text)
        return Orders(**{**raw, "flows": tuple(Flow(**one) for one in raw["flows"]), "targets": tuple(raw["targets"])})


@dataclass(slots=True)
class Record:
    """What became of one call."""

    flow: str
    at: float
    """When it came, Unix time."""
    outcome: str = "cut"
    """useful, late, refused (by the gate or a full executor), throttled, failed, left (its caller, after the deadline),
    cut (by the end)."""
    seconds: float = 0.0
    """Until that."""
    waited_s: float | None = None
    """Until it was let through last; None when it never was, or nobody knows. Over an executor: until its first text, less
    what the provider takes for one."""
    detail: str = ""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Current:
    """The call that a task makes."""

    record: Record
    started: float = field(default=0.0)


def arrivals(orders: Orders) -> Iterator[tuple[float, Flow]]:
    """When this worker's calls come, in seconds from the start, in order."""
    streams = [_poisson(orders, flow) for flow in orders.flows]
    heads = [(next(stream, None), at) for at, stream in enumerate(streams)]
    while waiting := [(head, at) for head, at in heads if head is not None]:
        due, at = min(waiting)
        yield due, orders.flows[at]
        heads[at] = (next(streams[at], None), at)


def _poisson(orders: Orders, flow: Flow) -> Iterator[float]:
    random = Random(f"{orders.seed}/{orders.worker}/{flow.name}")
    now = 0.0
    while flow.per_s > 0:
        now += random.expovariate(flow.per_s * orders.share)
        if now >= orders.seconds:
            return
        yield now
