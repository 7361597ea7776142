"""What `headrace quota` shows: `GET /api/quota` as a picture, with a little history. Pure; it prints nothing."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

HISTORY = 40
"""Looks whose pace is drawn, one a second."""
PRIORITIES = ("interactive", "standard", "background")
BARS = "▁▂▃▄▅▆▇█"
WIDE = 100
"""Columns of a terminal from which on there is room for the state beside the numbers; what is left is for the bars."""

Json = Any
Quota = Mapping[str, Json]


@dataclass(slots=True)
class History:
    """The pace of each model at the last looks."""

    _granted: dict[str, deque[float]] = field(default_factory=dict)

    def see(self, quota: Quota) -> None:
        """Remember one look; models that are gone are forgotten."""
        models = _models(quota)
        self._granted = {name: self._granted.get(name, deque(maxlen=HISTORY)) for name in models}
        for name, gate in models.items():
            self._granted[name].append(float(gate.get("granted_rpm") or 0))

    def of(self, model: str) -> Sequence[float]:
        """The model's calls a minute, oldest first."""
        return tuple(self._granted.get(model, ()))


def sparkline(values: Sequence[float], top: float) -> str:
    """The values as bars, the highest of which is `top` or more."""
    highest = max(top, *values, 1e-9) if values else 1.0
    return "".join(BARS[min(len(BARS) - 1, int(value / highest * len(BARS)))] for value in values)


def picture(quota: Quota, history: History, width: int) -> RenderableType:
    """Everything, for a terminal or a file of so many columns."""
    wide = width >= WIDE
    bars = min(HISTORY, width - WIDE)
    states = [] if wide else _state_lines(quota)
    return Group(_runs_line(quota), _gates(quota, history, wide=wide, bars=bars), *states, *_tail_lines(quota))


def _runs_line(quota: Quota) -> str:
    slots = int(quota.get("slots_per_replica") or 0) * int(quota.get("replicas") or 0)
    oldest = float(quota.get("oldest_wait_s") or 0)
    waiting = _by_priority(quota.get("queued") or {}, "{:.0f}")
    since = f", the oldest for {oldest:.1f} s" if oldest > 0 else ""
    return f"[bold]runs[/]   {quota.get('running', 0)} of {slots} running · waiting {waiting}{since}"


def _gates(quota: Quota, history: History, *, wide: bool, bars: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("model", overflow="fold")
    for name in ("calls a minute", "waiting", "a new call waits, s"):
        table.add_column(name, no_wrap=True)
    if wide:
        table.add_column("state", min_width=len("failing:"))
    if bars > 0:
        table.add_column("", no_wrap=True)
    for name, gate in _models(quota).items():
        pace = float(gate.get("effective_rpm") or 0)
        cells = [
            escape(name) + (" [dim](default)[/]" if name == quota.get("default_model") else ""),
            f"{float(gate.get('granted_rpm') or 0):.0f} of {_pace(gate)}",
            _by_priority(gate.get("queued") or {}, "{:.0f}", total=gate.get("queue_depth")),
            _by_priority(gate.get("expected_wait_s") or {}, "{:.1f}"),
        ]
        cells += [_state(gate)] if wide else []
        cells += [f"[cyan]{sparkline(history.of(name)[-bars:], pace)}[/]"] if bars > 0 else []
        table.add_row(*cells)
    return table


def _state_lines(quota: Quota) -> list[str]:
    """A line for each model where the table has no room for it."""
    return [f"[bold]{escape(name)}[/]  {_state(gate)}" for name, gate in _models(quota).items()]


def _state(gate: Mapping[str, Json]) -> str:
    return ", ".join(_notes(gate)) or "[green]good[/]"


def _pace(gate: Mapping[str, Json]) -> str:
    effective, configured = float(gate.get("effective_rpm") or 0), float(gate.get("configured_rpm") or 0)
    if effective <= 0:
        return "no limit"
    return f"{effective:.0f}" + (f" [dim](set {configured:.0f})[/]" if configured and round(configured - effective) else "")


def _notes(gate: Mapping[str, Json]) -> list[str]:
    notes = []
    if gate.get("breaker_open"):
        notes.append("[bold red]failing: calls are refused[/]")
    if gate.get("cooling_s"):
        notes.append(f"[yellow]pausing {gate['cooling_s']:.1f} s after a 429[/]")
    if gate.get("throttled_ratio"):
        notes.append(f"[yellow]{100 * gate['throttled_ratio']:.1f} % refused[/]")
    if gate.get("shared") is False:
        notes.append("[yellow]no Redis: each process has its share[/]")
    if gate.get("cached_ratio"):
        notes.append(f"{100 * gate['cached_ratio']:.0f} % from the cache")
    if gate.get("seconds_per_call"):
        notes.append(f"[dim]{gate['seconds_per_call']:.1f} s a call[/]")
    return notes


def _tail_lines(quota: Quota) -> list[str]:
    lines = []
    kinds = quota.get("kinds") or {}
    if kinds:
        told = (f"{name} {one['calls_per_run']:.1f} calls, {one['seconds_per_run']:.1f} s" for name, one in kinds.items())
        lines.append(f"[bold]a run[/]  {escape(' · '.join(told))}")
    promises = quota.get("promises") or {}
    if promises.get("open"):
        lines.append(f"[bold]told to come back[/]  {promises['open']}, the next in {promises['next_s'] or 0:.0f} s")
    return lines


def _by_priority(values: Mapping[str, float], form: str, *, total: Json = None) -> str:
    """`3 / 0 / 12`, in the order of priority; nothing waiting is a dash."""
    if not any(values.get(one) for one in PRIORITIES):
        return f"{total}" if total else "[dim]–[/]"
    return " / ".join(form.format(values.get(one) or 0) for one in PRIORITIES)


def _models(quota: Quota) -> Mapping[str, Mapping[str, Json]]:
    models: Mapping[str, Mapping[str, Json]] = quota.get("models") or {}
    return models
