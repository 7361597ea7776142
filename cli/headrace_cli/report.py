"""What `headrace status` tells, as data and as a table. Pure: the figures come from supervisor.measure and the edge."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from headrace_cli.supervisor.measure import Figures
from headrace_cli.supervisor.plan import MODEL
from headrace_cli.supervisor.state import PartPhase, PartRecord, State

Json = Any
MIB = 1024 * 1024
GONE = "gone"
"""The state of a part whose process is not there although its supervisor thinks so, or has died."""
SUPERVISOR = "supervisor"

_STYLES = {"ready": "green", "stopped": "dim", GONE: "red", "back-off": "red"}


def report(
    state: State,
    figures: Sequence[Figures | None],
    supervisor: Figures | None,
    quota: Mapping[str, Json] | None,
    now: float,
) -> dict[str, Json]:
    """The whole answer; `figures` are in the order of `state.parts`."""
    own = {
        "name": SUPERVISOR,
        "state": "ready" if supervisor else GONE,
        "pid": state.supervisor.pid,
        "port": None,
        "restarts": 0,
    }
    rows = [{**own, **_figures(supervisor), "last_end": ""}]
    rows += [_row(part, one, now) for part, one in zip(state.parts, figures, strict=True)]
    total = sum(row["pss_bytes"] or 0 for row in rows if row["name"] != MODEL)
    return {
        "phase": state.phase.value if supervisor else "down",
        "url": state.url,
        "models": list(state.models),
        "error": state.error,
        "notes": list(state.notes),
        "scale": state.scale.model_dump() if state.scale is not None else None,
        "processes": rows,
        "pss_bytes_without_model": total,
        "quota": quota,
    }


def _row(part: PartRecord, figures: Figures | None, now: float) -> dict[str, Json]:
    running = part.phase in (PartPhase.STARTING, PartPhase.READY, PartPhase.STOPPING)
    row: dict[str, Json] = {
        "name": part.name,
        "state": GONE if running and figures is None else part.phase.value,
        "pid": part.process.pid if part.process is not None and figures is not None else None,
        "port": part.port,
        "restarts": part.restarts,
        **_figures(figures),
        "last_end": part.last_end,
    }
    if part.phase is PartPhase.BACK_OFF and part.next_start is not None:
        row["next_start_s"] = round(max(0.0, part.next_start - now), 1)
    return row


def _figures(figures: Figures | None) -> dict[str, Json]:
    if figures is None:
        return {"rss_bytes": None, "pss_bytes": None, "cpu_percent": None, "uptime_s": None}
    return {
        "rss_bytes": figures.rss_bytes,
        "pss_bytes": figures.pss_bytes,
        "cpu_percent": figures.cpu_percent,
        "uptime_s": figures.uptime_s,
    }


def table(answer: Mapping[str, Json]) -> Table:
    """The processes as rows."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("NAME", "STATE"):
        rows.add_column(name, no_wrap=True)
    for name in ("PID", "PORT", "RSS MiB", "PSS MiB", "CPU %", "RESTARTS", "UPTIME"):
        rows.add_column(name, justify="right", no_wrap=True)
    for row in answer["processes"]:
        style = _STYLES.get(row["state"], "yellow")
        state = row["state"] + (f" {row['next_start_s']} s" if "next_start_s" in row else "")
        cells = [_or_dash(row["pid"]), _or_dash(row["port"]), _mib(row["rss_bytes"]), _mib(row["pss_bytes"])]
        cells += [_or_dash(row["cpu_percent"]), str(row["restarts"]), duration(row["uptime_s"])]
        rows.add_row(row["name"], f"[{style}]{state}[/]", *cells)
    return rows


def total_line(answer: Mapping[str, Json]) -> str:
    """The memory of all processes but the model's."""
    return f"PSS without the local model: {_mib(answer['pss_bytes_without_model'])} MiB"


def scale_line(answer: Mapping[str, Json]) -> str:
    """How many executors there shall be and why; empty without `--autoscale`."""
    scale = answer["scale"]
    if scale is None:
        return ""
    span = f"{scale['min_replicas']} to {scale['max_replicas']}"
    return f"executors: {scale['replicas']} of {span}, limited by {scale['limited_by']}: {scale['message']}"


def end_lines(answer: Mapping[str, Json]) -> list[str]:
    """How the processes that were restarted or given up last ended, a line each."""
    return [f"{row['name']}: {row['last_end']}" for row in answer["processes"] if row["last_end"]]


def duration(seconds: float | None) -> str:
    """Seconds as 42s, 3m10s, 2h05m or 3d04h."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def _mib(value: int | None) -> str:
    return "-" if value is None else f"{value / MIB:.0f}"


def _or_dash(value: Json) -> str:
    return "-" if value is None else str(value)
