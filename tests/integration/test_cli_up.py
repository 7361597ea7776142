"""`headrace up` as its user runs it: real Postgres, Valkey and local model, and services that only answer.

The services themselves are other tests' business (tests/e2e has the whole): here each is a stub under its own name.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from headrace_cli.supervisor import leftovers, state
from headrace_cli.supervisor.ports import Ports
from headrace_cli.supervisor.state import Phase, State, StateDir

from tests.support.folders import open_folder

READY_S = 60.0

SERVICE = """
from contextlib import asynccontextmanager
from headrace_runtime import serve
from headrace_runtime.settings import ServiceSettings
from pydantic_settings import SettingsConfigDict

class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="HEADRACE_{upper}_", extra="ignore", frozen=True)

@asynccontextmanager
async def service(settings):
    yield serve.Service(endpoints=())

serve.main("{name}", Settings, service)
"""
EDGE = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
EVENTS = [
    {"type": "RUN_STARTED", "threadId": "s", "runId": "r"},
    {"type": "STEP_STARTED", "stepName": "route"}, {"type": "STEP_FINISHED", "stepName": "route"},
    {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "It grinds "},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "corn."},
    {"type": "TEXT_MESSAGE_END", "messageId": "m"},
    {"type": "RUN_FINISHED", "threadId": "s", "runId": "r", "result": {}, "outcome": {"type": "success"}},
]
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply("application/json", json.dumps({"running": 0}).encode())
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        lines = [f"id: {n}\\ndata: {json.dumps(event)}\\n\\n" for n, event in enumerate(EVENTS, start=1)]
        self.reply("text/event-stream", "".join(lines).encode())
    def reply(self, kind, body):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
host, _, port = os.environ["HEADRACE_EDGE_LISTEN"].rpartition(":")
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


class Suite:
    """A state dir, and `headrace` commands on it with the stubs in the place of the services."""

    def __init__(self, folder: Path) -> None:
        self.directory = StateDir(folder / "home")
        packages = folder / "stubs"
        for name in ("router", "planner", "executor", "rag"):
            self.stub(packages, name, SERVICE.format(name=name, upper=name.upper()))
        self.stub(packages, "edge", EDGE)
        self.packages = packages
        self.env = {**os.environ, "HEADRACE_HOME": str(self.directory.home), "PYTHONPATH": str(packages), "COLUMNS": "120"}
        self.env.pop("HEADRACE_URL", None)

    def stub(self, packages: Path, name: str, text: str) -> None:
        package = packages / f"headrace_{name}"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(textwrap.dedent(text))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments), env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*arguments), env=self.env, capture_output=True, text=True, timeout=READY_S, check=False
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "headrace_cli", *arguments]

    def state(self) -> State:
        last = self.directory.read()
        assert last is not None
        return last

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return answer

    def pid(self, name: str) -> int | None:
        return next((part.process.pid for part in self.state().parts if part.name == name and part.process), None)

    def processes(self) -> list[str]:
        """Every process of this state dir that is there, found without the state file."""
        marks = (str(self.directory.home), str(self.packages))
        return [line for line in map(_line, psutil.process_iter()) if any(mark in line for mark in marks)]


def _line(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), process.environ().get("HEADRACE_HOME", "")])
    except psutil.Error:
        return ""


@pytest.fixture
def suite() -> Iterator[Suite]:
    with open_folder() as folder:
        yield from _running(Suite(folder))


def _running(made: Suite) -> Iterator[Suite]:
    yield made
    last = made.directory.read()
    if last is not None:
        leftovers.end_supervisor(last.supervisor)
        leftovers.end_parts(made.state())


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is(suite: Suite, phase: Phase) -> bool:
    last = suite.directory.read()
    return last is not None and last.phase is phase


def test_in_the_foreground_it_answers_and_ctrl_c_leaves_nothing(suite: Suite) -> None:
    with Ports() as ports:
        port = ports.any()
    with suite.start("up", "--port", str(port), "--executors", "2") as up:
        assert up.stdout is not None
        answer = up.stdout.readline()
        pids = [part.process.pid for part in suite.state().parts if part.process is not None]
        up.send_signal(signal.SIGINT)
        rest, told = up.communicate(timeout=READY_S)

    assert (answer, rest) == ("It grinds corn.\n", "")
    assert up.returncode == 0
    for name in ("postgres", "valkey", "model", "router", "planner", "rag", "executor-1", "executor-2", "edge"):
        assert f"✓ {name}" in told
    assert f"http://127.0.0.1:{port}" in told
    assert "curl" in told
    assert "headrace chat" in told
    assert len(pids) == 9
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert suite.processes() == []
    assert suite.state().phase is Phase.STOPPED


def test_detached_it_restarts_what_crashes_until_it_is_told_to_stop(suite: Suite) -> None:
    with Ports() as ports:
        port = ports.any()
    up = suite.run("up", "--detach", "--port", str(port))
    assert up.returncode == 0, up.stderr
    assert up.stdout == "It grinds corn.\n"
    assert len(suite.processes()) >= 7, "the stores hide their command lines"
    first = {row["name"]: row for row in suite.status()["processes"]}
    second_up = suite.run("up")
    asked = suite.run("chat", "hello")

    crashed = first["rag"]["pid"]
    os.kill(crashed, signal.SIGKILL)
    _until(lambda: suite.pid("rag") not in (None, crashed) and _ready(suite, "rag"))
    again = suite.status()
    down = suite.run("down")

    assert {row["state"] for row in first.values()} == {"ready"}
    assert all(row["pss_bytes"] > 0 for row in first.values())
    assert (second_up.returncode, "already up" in second_up.stderr) == (1, True)
    assert asked.stdout == "It grinds corn.\n"
    assert "▸ route" in asked.stderr
    assert next(row["restarts"] for row in again["processes"] if row["name"] == "rag") == 1
    assert again["quota"] == {"running": 0}
    assert again["pss_bytes_without_model"] < sum(row["pss_bytes"] for row in again["processes"])
    assert down.returncode == 0
    assert suite.processes() == []
    assert suite.run("down").returncode == 0


def _ready(suite: Suite, name: str) -> bool:
    return any(part.name == name and part.phase == "ready" for part in suite.state().parts)


@pytest.mark.parametrize("follow", ["up", "down"])
def test_after_the_supervisor_was_killed_the_next_command_ends_its_leftovers(suite: Suite, follow: str) -> None:
    assert suite.run("up", "--detach", "--no-question").returncode == 0
    before = suite.state()
    os.kill(before.supervisor.pid, signal.SIGKILL)
    _until(lambda: state.alive(before.supervisor) is None)
    assert len(leftovers.survivors(before)) == len(before.parts)
    assert suite.run("status").returncode == 3

    followed = suite.run(follow, *(["--detach", "--no-question"] if follow == "up" else []))

    assert followed.returncode == 0, followed.stderr
    assert leftovers.survivors(before) == ()
    if follow == "up":
        assert suite.run("down").returncode == 0
    assert suite.processes() == []


def test_a_taken_port_is_said_and_another_is_chosen(suite: Suite) -> None:
    async def somebody(*_: object) -> None:
        return None

    async def taken() -> tuple[int, subprocess.CompletedProcess[str]]:
        server = await asyncio.start_server(somebody, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return port, await asyncio.to_thread(suite.run, "up", "--detach", "--no-question", "--port", str(port))

    port, up = asyncio.run(taken())

    assert up.returncode == 0, up.stderr
    assert f"port {port} is taken" in up.stderr
    assert suite.state().url != f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_a_service_that_cannot_start_is_one_line_with_its_log_and_nothing_stays(suite: Suite, detach: list[str]) -> None:
    suite.stub(suite.packages, "rag", "import sys\nprint('HEADRACE_RAG_DATABASE_URL: wrong', file=sys.stderr)\nsys.exit(2)")

    up = suite.run("up", *detach)

    assert up.returncode == 1
    assert "rag did not become ready: its settings are wrong" in up.stderr
    assert str(suite.directory.log("rag")) in up.stderr
    assert "HEADRACE_RAG_DATABASE_URL: wrong" in up.stderr
    assert "Traceback" not in up.stderr
    assert suite.processes() == []
