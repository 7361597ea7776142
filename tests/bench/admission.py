"""Are refused callers served when they come back as told? `python -m tests.bench.admission`, in virtual time.

Ten times what the quota can serve arrives. Who is refused comes back when told, within 2 s; one in five never does.
"""

import time
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.support.overload import Load, Overload, Report

LOADS: dict[str, dict[str, Any]] = {
    "3 minutes, then all come back": {"overload_s": 180.0, "after_s": 3600.0},
    "2 hours without an end": {"overload_s": 7200.0},
    "10 minutes, quota falls to 40 % for one": {"overload_s": 600.0, "drop": (300.0, 360.0, 0.4)},
    "10 minutes, one tenant offers 20 × more than another": {"overload_s": 600.0, "tenants": (20.0, 1.0)},
    "10 minutes, 5 tenants, one offers 20 × more": {"overload_s": 600.0, "tenants": (20.0, 1.0, 1.0, 1.0, 1.0)},
    "3 minutes, half never come back": {"overload_s": 180.0, "after_s": 3600.0, "gone": 0.5},
    "3 minutes, come within 20 s": {"overload_s": 180.0, "after_s": 3600.0, "jitter_s": 20.0},
}


def _row(one: Report, seconds: float) -> tuple[str, ...]:
    least = min(one.accepted_per_minute.values(), default=0)
    return (
        f"{one.arrivals}",
        f"{one.promised}",
        f"{one.overflow}",
        f"{100 * one.kept:.1f} %",
        f"{100 * one.used:.1f} %",
        f"{one.jain:.3f}",
        f"{least}",
        f"{one.wait_s(0.5):.0f} / {one.wait_s(0.99):.0f}",
        f"{one.longest_retry_s}",
        f"{1e6 * seconds / (one.arrivals + one.returned):.0f}",
    )


def main() -> None:
    """Run every load at both rates."""
    table = Table(
        "load", "rpm", "arrivals", "promised", "told no time", "served when back", "quota used", "Jain",
        "newcomers served, least a minute", "wait s p50 / p99", "longest Retry-After s", "µs a request",
        title="10 × overload", title_justify="left",
    )  # fmt: skip
    for rpm in (60.0, 600.0):
        for name, shape in LOADS.items():
            started = time.perf_counter()
            report = Overload(Load(rpm=rpm, **shape)).run()
            table.add_row(name, f"{rpm:.0f}", *_row(report, time.perf_counter() - started))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
