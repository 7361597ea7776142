"""The suite on one core, for measuring: the product's processes, with a model double in the executor."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from headrace_cli.embedded import postgres, program, valkey
from headrace_cli.supervisor import plan

SERVER_CORE, CLIENT_CORE = 0, 1
SETTLE_TRIES, SETTLED_CPU_S = 30, 0.1

MODELS = """
default: bench
models:
  bench:
    model: openai/bench
    api_base: http://127.0.0.1:9/v1
    context_tokens: 8192
    price: {prompt_usd_per_million: 0, completion_usd_per_million: 0}
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """Running processes and how to reach them."""

    url: str
    database_url: str
    pids: dict[str, int]

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by process; a server's children count with it."""
        return {name: _cpu_s(pid) for name, pid in self.pids.items()}

    def rss_mib(self, name: str) -> float:
        """Resident memory of one process."""
        return float(psutil.Process(self.pids[name]).memory_info().rss) / 2**20


def _cpu_s(pid: int) -> float:
    total = 0.0
    process = psutil.Process(pid)
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    # A Postgres backend that has ended is in its parent's figures.
    times = process.cpu_times()
    return float(total + times.children_user + times.children_system)


def pin(core: int) -> None:
    """Keep this process, and what it starts, on one core where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


@contextmanager
def running() -> Iterator[Stack]:
    """Start everything pinned to the server's core, and leave this process on the client's."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o711)
        pin(SERVER_CORE)
        ports = iter([program.free_port() for _ in range(8)])
        database, cache = next(ports), next(ports)
        processes = {
            "postgres": stack.enter_context(_run(postgres.prepare(home / "pg", database, home / "pg.password"), home)),
            "valkey": stack.enter_context(_run(valkey.prepare(home / "valkey", cache, home / "valkey.password"), home)),
        }
        (home / "models.yaml").write_text(MODELS)
        layout = plan.Layout(
            edge=next(ports), router=next(ports), planner=next(ports), rag=next(ports), executors=(next(ports),)
        )
        database_url = postgres.url(database, home / "pg.password")
        backing = plan.Backing(database_url, valkey.url(cache, home / "valkey.password"), str(home / "models.yaml"))
        for part in plan.services(layout, backing):
            one = part.program
            if part.name == "executor":
                one = replace(one, argv=(sys.executable, "-m", "tests.bench.executor"))
            if part.name == "edge":
                limits = {"HEADRACE_EDGE_MAX_STREAMS": "20000", "HEADRACE_EDGE_MAX_STREAMS_PER_KEY": "20000"}
                one = replace(one, env={**one.env, **limits, "HEADRACE_EDGE_MAX_REQUESTS": "20000"})
            processes[part.name] = stack.enter_context(_run(one, home))
        pin(CLIENT_CORE)
        made = Stack(f"http://127.0.0.1:{layout.edge}", database_url, {name: one.pid for name, one in processes.items()})
        _settle(made)
        yield made


def _settle(stack: Stack) -> None:
    """Wait until the processes have done what they do in the background after their start."""
    for _ in range(SETTLE_TRIES):
        before = sum(stack.cpu_s().values())
        time.sleep(1)
        if sum(stack.cpu_s().values()) - before < SETTLED_CPU_S:
            return


@contextmanager
def _run(one: program.Program, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with program.running(one, home / f"{one.name}.log") as process:
        yield process
