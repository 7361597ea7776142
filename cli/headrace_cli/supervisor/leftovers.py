"""Ends what a supervisor left behind when it was killed. Only the very processes that the state file names are touched."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence

import psutil

from headrace_cli.embedded.program import STOP_TIMEOUT_S
from headrace_cli.supervisor import state
from headrace_cli.supervisor.state import Identity, PartRecord, State

SUPERVISOR_STOP_S = 60.0
"""A supervisor that has not stopped everything this long after SIGTERM is killed."""
POLL_S = 0.02


def end_supervisor(identity: Identity, *, timeout_s: float = SUPERVISOR_STOP_S) -> bool:
    """Ask a live supervisor to stop everything, kill it when it does not. False when it was not there."""
    process = state.alive(identity)
    if process is None or process.pid == os.getpid():
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
    _kill_rest([process], timeout_s)
    return True


def end_parts(last: State, *, timeout_s: float = STOP_TIMEOUT_S) -> tuple[str, ...]:
    """End the parts of a dead supervisor in their stop order; the names of those that were still there."""
    ended: list[str] = []
    for rank in sorted({part.stop_rank for part in last.parts}):
        group = [part for part in last.parts if part.stop_rank == rank]
        ended += _end_group(group, timeout_s)
    return tuple(ended)


def survivors(last: State) -> tuple[PartRecord, ...]:
    """The parts whose process is still there."""
    return tuple(part for part in last.parts if state.alive(part.process) is not None)


def _end_group(parts: Sequence[PartRecord], timeout_s: float) -> list[str]:
    live = [(part, process) for part in parts if (process := state.alive(part.process)) is not None]
    descendants = [child for _, process in live for child in _children(process)]
    for part, process in live:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(part.stop_signal)
    _kill_rest([process for _, process in live], timeout_s)
    _kill_rest(descendants, 0)
    return [part.name for part, _ in live]


def _kill_rest(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    alive = _wait(processes, timeout_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait(alive, STOP_TIMEOUT_S)


def _wait(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait for the ends and return what has not ended. A zombie has: whoever adopted it may take its time to reap it."""
    deadline = time.monotonic() + timeout_s
    while alive := [process for process in processes if _runs(process)]:
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
