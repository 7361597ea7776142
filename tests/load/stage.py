"""The processes of a show: stores, simulated provider, executors, callers. Everything ends with the block, by its pid."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil
import redis
from headrace_cli.embedded import postgres, program, valkey
from headrace_cli.supervisor.ports import Ports

from tests.load import clients, executors
from tests.load.traffic import WORKERS, Flow, Orders, Record

READY_S = 90.0
"""For four processes to import LiteLLM on a busy machine."""
LEAD_S = 0.5
"""From "go" to the first call."""
END_S = 20.0
"""How long a worker may take to end after its last call."""

Through = Literal["library", "executors"]
"""Whose gate is loaded: that of the callers' own processes, or that of as many executors which they call."""

Event = tuple[float, Callable[["Stage"], None]]
"""Something that is done so many seconds after the start."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    variant: str
    flows: tuple[Flow, ...]
    seconds: float
    provider: Mapping[str, Any]
    """The simulator's settings."""
    limits: Mapping[str, Any]
    """What the clients are told of the quota."""
    shares: tuple[float, ...] = (1 / WORKERS,) * WORKERS
    """Of the calls, each worker's."""
    drain: bool = False
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it."""

    plan: Plan
    records: list[Record]
    books: Mapping[str, Any]
    """The simulator's report when the time was over."""
    final: Mapping[str, Any]
    """The same when the last caller had ended."""
    cpu_s: float
    """Of the processes that have the gate, together, from the first call to the end of the time."""
    stuck: int
    """Workers that did not end when all their calls had, and were killed."""


@dataclass
class Stage:
    """What is running."""

    home: Path
    provider_url: str
    redis_url: str
    database_url: str | None
    """None when the gate is in the callers' processes."""
    _valkey: program.Program
    _server: subprocess.Popen[bytes]
    _workers: list[subprocess.Popen[str]] = field(default_factory=list)
    _executors: Sequence[executors.Executor] = ()

    def run(self, plan: Plan) -> Run:
        """Do one run from an empty Redis and new books."""
        self._empty()
        with self._gates(plan) as self._executors:
            return self._run(plan)

    def kill(self, number: int) -> None:
        """kill -9 of a process that has a gate."""
        os.kill(self._gate_pids()[number], signal.SIGKILL)

    def stop_redis(self) -> None:
        """End it as an operator would."""
        program.stop(self._valkey, self._server)

    def start_redis(self) -> None:
        """Start it again with its data."""
        log = self.home / "valkey.log"
        self._server = program.spawn(self._valkey, log)
        program.wait_ready(self._valkey, self._server, log)

    def close(self) -> None:
        """End Redis, whichever runs now."""
        program.stop(self._valkey, self._server)

    @contextmanager
    def _gates(self, plan: Plan) -> Iterator[Sequence[executors.Executor]]:
        """The executors of a run, none where the callers have the gate."""
        if self.database_url is None or plan.variant not in clients.GATES:
            yield ()
            return
        backing = executors.Backing(self.provider_url, self.database_url, self.redis_url)
        number = len(plan.shares)
        with (
            Ports() as ports,
            executors.running(self.home, backing, ports, number=number, variant=plan.variant, limits=plan.limits) as gates,
        ):
            yield gates

    def _gate_pids(self) -> list[int]:
        return [one.process.pid for one in self._executors] or [one.pid for one in self._workers]

    def _run(self, plan: Plan) -> Run:
        outs = [self.home / f"records-{at}" for at in range(len(plan.shares))]
        self._workers = [self._spawn(plan, at, out) for at, out in enumerate(outs)]
        try:
            self._provide(plan)
            for one in self._workers:
                _await_ready(one, self.home)
            begin, cpu_s = time.time() + LEAD_S, _cpu_s(self._gate_pids())
            for one in self._workers:
                assert one.stdin is not None
                one.stdin.write(f"{begin}\n")
                one.stdin.flush()
            for at, happens in sorted(plan.events, key=lambda event: event[0]):
                _sleep_until(begin + at)
                happens(self)
            _sleep_until(begin + plan.seconds - 0.05)
            books, cpu_s = self._report(), _cpu_s(self._gate_pids()) - cpu_s
            longest = max(flow.deadline_s for flow in plan.flows) if plan.drain else 0.0
            stuck = _end(self._workers, begin + plan.seconds + longest + END_S)
        finally:
            for one in self._workers:
                one.kill()
                with contextlib.suppress(BrokenPipeError), one:  # which closes its pipes and waits for it
                    pass
        records = [Record(**json.loads(line)) for out in outs if out.exists() for line in out.read_text().splitlines()]
        return Run(plan, records, books, self._report(), cpu_s, stuck)

    def _empty(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        with httpx.Client(base_url=self.provider_url, timeout=10) as http:
            http.delete("/control").raise_for_status()
        for old in self.home.glob("records-*"):
            old.unlink()

    def _provide(self, plan: Plan) -> None:
        """The run's provider, with full quotas and empty books: what was asked before was to warm up."""
        with httpx.Client(base_url=self.provider_url, timeout=10) as http:
            http.put("/control", json=dict(plan.provider)).raise_for_status()
            http.post("/control/reset").raise_for_status()

    def _report(self) -> Mapping[str, Any]:
        with httpx.Client(base_url=self.provider_url, timeout=10) as http:
            answer: Mapping[str, Any] = http.get("/report", params={"series_s": 3600}).json()
            return answer

    def _spawn(self, plan: Plan, number: int, out: Path) -> subprocess.Popen[str]:
        orders = Orders(
            variant=plan.variant,
            provider_url=self.provider_url,
            redis_url=self.redis_url,
            limits=plan.limits,
            flows=plan.flows,
            seconds=plan.seconds,
            worker=number,
            out=str(out),
            targets=self._targets(plan, number),
            first_token_s=_first_token_s(plan.provider),
            share=plan.shares[number],
            drain=plan.drain,
        )
        with (self.home / f"worker-{number}.log").open("ab") as log:
            return subprocess.Popen(
                (sys.executable, "-m", "tests.load.worker", orders.to_json()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            )

    def _targets(self, plan: Plan, number: int) -> tuple[str, ...]:
        """Even load comes to the executors as the edge spreads it, uneven load as each worker's to its own."""
        addresses = tuple(executor.address for executor in self._executors)
        return addresses if len(set(plan.shares)) == 1 else addresses[number : number + 1]


@contextmanager
def running(through: Through = "library") -> Iterator[Stage]:
    """Start the stores and the simulator. The folder of their logs is kept when LOAD_KEEP names a place for it."""
    with tempfile.TemporaryDirectory(prefix="headrace-load-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o711)  # as root, Postgres runs as nobody, who must reach its data
        ports = stack.enter_context(Ports())
        database_url = stack.enter_context(_database(home, ports.any())) if through == "executors" else None
        cache, port = ports.any(), ports.any()
        prepared = valkey.prepare(home / "valkey", cache, home / "password")
        argv = (sys.executable, "-m", "headrace_simulator", "--port", str(port))
        simulator = program.Program(name="simulator", argv=argv, ready=partial(program.accepts, port))
        with program.running(simulator, home / "simulator.log"):
            log = home / "valkey.log"
            stage = Stage(
                home,
                f"http://127.0.0.1:{port}",
                valkey.url(cache, home / "password"),
                database_url,
                prepared,
                program.spawn(prepared, log),
            )
            try:
                program.wait_ready(prepared, stage._server, log)
                yield stage
            finally:
                stage.close()
                if kept := os.environ.get("LOAD_KEEP"):
                    secret = shutil.ignore_patterns("valkey", "postgres", "*password")
                    shutil.copytree(home, kept, dirs_exist_ok=True, ignore=secret)


@contextmanager
def _database(home: Path, port: int) -> Iterator[str]:
    password = home / "postgres.password"
    with program.running(postgres.prepare(home / "postgres", port, password), home / "postgres.log"):
        yield postgres.url(port, password)


def _first_token_s(provider: Mapping[str, Any]) -> float | None:
    latency = provider.get("latency", {})
    return float(latency["first_token_s"]) if latency.get("sigma") == 0 else None


def _cpu_s(pids: Sequence[int]) -> float:
    """What the processes have used so far; one that was killed counts until it is waited for."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


def _await_ready(worker: subprocess.Popen[str], home: Path) -> None:
    assert worker.stdout is not None
    readable, _, _ = select.select([worker.stdout], [], [], READY_S)
    if not readable or worker.stdout.readline().strip() != "ready":
        logs = "\n".join(path.read_text()[-2000:] for path in sorted(home.glob("worker-*.log")))
        raise RuntimeError(f"a worker is not ready:\n{logs}")


def _end(workers: Sequence[subprocess.Popen[str]], until: float) -> int:
    """Wait for all to end, and return how many had to be killed."""
    stuck = 0
    for one in workers:
        with contextlib.suppress(BrokenPipeError):
            assert one.stdin is not None
            one.stdin.close()
        try:
            one.wait(max(0.1, until - time.time()))
        except subprocess.TimeoutExpired:
            stuck += 1
            one.kill()
            one.wait()
    return stuck


def _sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.time()))
