"""Which processes make the suite, with which environment, in which order. Pure: nothing is started or read here."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from headrace_cli.embedded.program import STOP_TIMEOUT_S, Program
from headrace_cli.supervisor import health, models
from headrace_cli.supervisor.ports import HOST

EDGE_DRAIN_S = 2.0
"""Local clients can resume: their streams need not end before a stop."""
SERVICE_DRAIN_S = 5.0
"""Runs are durable: what an executor has not finished by then goes on at the next `headrace up`."""
KILL_AFTER_DRAIN_S = 3.0
"""A service that has not ended this long after its drain is killed."""
SERVICE_READY_S = 90.0
"""A cold disk and two busy cores may need that for the largest imports."""

POSTGRES, VALKEY, MODEL, SIMULATOR = "postgres", "valkey", "model", "simulator"
EXECUTOR = "executor"
_STOP_RANKS = {
    "edge": 0,
    EXECUTOR: 1,
    "router": 2,
    "planner": 2,
    "rag": 2,
    MODEL: 3,
    SIMULATOR: 3,
    VALKEY: 4,
    POSTGRES: 5,
}
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Part:
    """One process that is kept running."""

    program: Program
    port: int
    needs: tuple[str, ...]
    """Names of parts that are ready before this one is started for the first time."""
    stop_rank: int
    """Parts stop in this order; equal ranks together."""
    stop_s: float = STOP_TIMEOUT_S
    """How long it may take to end before it is killed."""
    embedded: bool = False
    """A server from a wheel, not a service of ours."""
    elastic: bool = False
    """One of several that come and go: when it cannot be had, the others go on."""

    @property
    def name(self) -> str:
        """Unique among the parts; its log is named so."""
        return self.program.name


@dataclass(frozen=True, slots=True)
class Layout:
    """The ports of the services."""

    edge: int
    router: int
    planner: int
    rag: int
    executors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Backing:
    """What the services stand on. The URLs carry passwords."""

    database_url: str
    redis_url: str
    models_file: str
    tools_file: str = ""
    """The tools.yaml, absolute; "" for none."""


def embedded(program: Program, port: int) -> Part:
    """A server from a wheel as a part."""
    return Part(program, port, needs=(), stop_rank=_STOP_RANKS[program.name], embedded=True)


def services(layout: Layout, backing: Backing) -> tuple[Part, ...]:
    """The services as parts, the edge last. They need the stores; among themselves they wait over gRPC."""
    model = {
        "HEADRACE_LLM_MODELS_FILE": backing.models_file,
        "HEADRACE_LLM_REDIS_URL": backing.redis_url,
        models.LOCAL_KEY_VARIABLE: "none",
    }
    executor = {
        **model,
        "HEADRACE_EXECUTOR_DATABASE_URL": backing.database_url,
        "HEADRACE_EXECUTOR_REDIS_URL": backing.redis_url,
        "HEADRACE_EXECUTOR_ROUTER_TARGET": _address(layout.router),
        "HEADRACE_EXECUTOR_PLANNER_TARGET": _address(layout.planner),
        "HEADRACE_EXECUTOR_RAG_TARGET": _address(layout.rag),
    }
    if backing.tools_file:
        executor["HEADRACE_EXECUTOR_TOOLS_FILE"] = backing.tools_file
    stores = (POSTGRES, VALKEY)
    return (
        *(
            _service(EXECUTOR, port, name=name, env=executor, needs=stores)
            for name, port in zip(_executor_names(len(layout.executors)), layout.executors, strict=True)
        ),
        _service("router", layout.router, env=model, needs=(VALKEY,)),
        _service("planner", layout.planner, env=model, needs=(VALKEY,)),
        _service("rag", layout.rag, env={**model, "HEADRACE_RAG_DATABASE_URL": backing.database_url}, needs=stores),
        _edge(layout),
    )


def executors(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Those that take runs from the queue."""
    return tuple(part for part in parts if part.stop_rank == _STOP_RANKS[EXECUTOR])


def stop_order(parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], ...]:
    """The parts in the order in which they stop, grouped by what stops together."""
    ranks = sorted({part.stop_rank for part in parts})
    return tuple(tuple(part for part in parts if part.stop_rank == rank) for rank in ranks)


def _executor_names(count: int) -> tuple[str, ...]:
    return (EXECUTOR,) if count == 1 else tuple(f"{EXECUTOR}-{n}" for n in range(1, count + 1))


def _edge(layout: Layout) -> Part:
    env = {
        "HEADRACE_EDGE_EXECUTOR_TARGET": ",".join(_address(port) for port in layout.executors),
        "HEADRACE_EDGE_RAG_TARGET": _address(layout.rag),
    }
    return _service("edge", layout.edge, env=env, needs=(), ready=health.http_ready, drain_s=EDGE_DRAIN_S)


def _service(
    kind: str,
    port: int,
    *,
    env: Mapping[str, str],
    needs: tuple[str, ...],
    name: str = "",
    ready: Callable[[int], bool] = health.grpc_serving,
    drain_s: float = SERVICE_DRAIN_S,
) -> Part:
    prefix = f"HEADRACE_{kind.upper()}"
    own = {f"{prefix}_LISTEN": _address(port), f"{prefix}_DRAIN_S": f"{drain_s:g}", **_ONE_THREAD, **env}
    program = Program(
        name=name or kind,
        argv=(sys.executable, "-m", f"headrace_{kind}"),
        ready=partial(ready, port),
        env=own,
        ready_s=SERVICE_READY_S,
    )
    return Part(program, port, needs, _STOP_RANKS[kind], stop_s=drain_s + KILL_AFTER_DRAIN_S)


def _address(port: int) -> str:
    return f"{HOST}:{port}"
