"""A program that somebody else starts and stops, and the plain way to do so."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STOP_TIMEOUT_S = 10.0
"""A program that has not ended this long after its stop signal is killed."""


class ProgramFailed(Exception):
    """A program could not be prepared, ended early, or was not ready in time. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Program:
    """How to run one server in the foreground."""

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    """Whether it answers; never blocks for more than a second."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the caller's environment."""
    user: str | None = None
    """Run as this user; only root can."""
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    ready_s: float = 60.0
    """How long it may take to become ready."""


def spawn(program: Program, log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            program.argv,
            env={**os.environ, **program.env},
            cwd=program.cwd,
            **identity(program.user),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


@contextmanager
def running(program: Program, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the length of the block, from ready to ended. Raises `ProgramFailed`."""
    process = spawn(program, log)
    try:
        wait_ready(program, process, log)
        yield process
    finally:
        stop(program, process)


def wait_ready(program: Program, process: subprocess.Popen[bytes], log: Path) -> None:
    """Block until the program answers. Raises `ProgramFailed` when it ends or its time is over."""
    deadline = time.monotonic() + program.ready_s
    while not program.ready():
        if process.poll() is not None:
            raise ProgramFailed(f"{program.name} ended with code {process.returncode}; its log is {log}")
        if time.monotonic() > deadline:
            raise ProgramFailed(f"{program.name} was not ready after {program.ready_s:g} s; its log is {log}")
        time.sleep(0.02)


def stop(program: Program, process: subprocess.Popen[bytes]) -> None:
    """Ask the program to end, and kill it when it has not after `STOP_TIMEOUT_S`."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(program.stop_signal)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def identity(user: str | None) -> dict[str, Any]:
    """Popen's arguments to run as `user` with its own group and no others; none for None."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether something takes TCP connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
