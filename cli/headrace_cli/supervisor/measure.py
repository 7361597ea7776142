"""What the parts use now: memory and CPU, the child processes of a part included."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil

from headrace_cli.supervisor import state
from headrace_cli.supervisor.state import Identity

SAMPLE_S = 0.25
"""CPU use is the mean over this long."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One part's use."""

    rss_bytes: int
    pss_bytes: int
    """Shared pages counted in proportion; RSS where the system does not tell."""
    cpu_percent: float
    """100 is one core."""
    uptime_s: float


def measure(alone: Identity, parts: Sequence[Identity | None]) -> tuple[Figures | None, list[Figures | None]]:
    """The figures of one process by itself, and of each part with its descendants; None for one that is not there."""
    families = [_family(alone)[:1], *map(_family, parts)]
    before = [_cpu_s(family) for family in families]
    began = time.monotonic()
    time.sleep(SAMPLE_S if any(families) else 0)
    spent = max(time.monotonic() - began, 1e-6)
    own, *others = (
        _figures(family, (_cpu_s(family) - seconds) / spent * 100) for family, seconds in zip(families, before, strict=True)
    )
    return own, others


def _family(identity: Identity | None) -> list[psutil.Process]:
    process = state.alive(identity)
    if process is None:
        return []
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(family: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _figures(family: Sequence[psutil.Process], cpu_percent: float) -> Figures | None:
    memory = [_memory(process) for process in family]
    if not any(rss for rss, _ in memory):
        return None
    try:
        uptime_s = max(0.0, time.time() - family[0].create_time())
    except psutil.NoSuchProcess:
        return None
    rss, pss = (sum(figures) for figures in zip(*memory, strict=True))
    return Figures(rss, pss, max(0.0, round(cpu_percent, 1)), round(uptime_s, 1))


def _memory(process: psutil.Process) -> tuple[int, int]:
    try:
        full = process.memory_full_info()
        return full.rss, getattr(full, "pss", full.rss)
    except psutil.AccessDenied:
        rss = process.memory_info().rss
        return rss, rss
    except psutil.NoSuchProcess:
        return 0, 0
