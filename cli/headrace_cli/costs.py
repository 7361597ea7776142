"""What `headrace usage` shows of `GET /api/usage`: a table with its total, and a bar for each limit of the budget. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from headrace_cli.report import duration

Json = Any

BAR_WIDTH = 30
COLUMNS: Mapping[str, str] = {"day": "day", "model": "model", "kind": "kind", "session": "session_id", "run": "run_id"}
"""The field of a row for each of `--by`."""


def table(answer: Mapping[str, Json], by: Sequence[str]) -> Table:
    """The rows, the columns of `by` first, and the total below them."""
    total = answer["total"]
    shown = Table(box=None, pad_edge=False, header_style="dim", show_footer=bool(by))
    for at, name in enumerate(by):
        shown.add_column(name, footer="total" if at == 0 else "", overflow="fold", no_wrap=name in ("session", "run"))
    for name, value in zip(("calls", "cached", "prompt", "completion", "cost"), _figures(total), strict=True):
        shown.add_column(name, justify="right", footer=value)
    for row in answer["rows"]:
        names = (row.get(COLUMNS[name]) for name in by)
        shown.add_row(*("-" if value is None else escape(str(value)) for value in names), *_figures(row["usage"]))
    if not by and not answer["rows"]:
        shown.add_row(*_figures(total))
    return shown


def budget(answer: Mapping[str, Json], *, now: datetime) -> Table | None:
    """A bar for each limit of today's budget, None for a tenant without one."""
    known = answer.get("budget")
    if not known:
        return None
    left_s = (datetime.fromisoformat(known["resets_at"]) - now).total_seconds()
    bars = Table.grid(padding=(0, 2))
    for name in ("usd", "tokens", "calls"):
        figure = known["daily"][name]
        limit, used = figure["limit"], figure["used"]
        if limit is None:
            continue
        spent = used >= limit
        bar = ProgressBar(total=max(limit, 1e-9), completed=min(used, limit), width=BAR_WIDTH)
        bar.complete_style = bar.finished_style = "red" if spent else "yellow" if used >= 0.8 * limit else "green"
        until = f"[red]spent[/], begins anew in {duration(max(0.0, left_s))}" if spent else ""
        bars.add_row(name, bar, f"{_amount(name, used)} of {_amount(name, limit)} today", until)
    return bars


def _figures(usage: Mapping[str, Json]) -> list[str]:
    counts = [f"{usage[name]:,}" for name in ("llm_calls", "cached_calls", "prompt_tokens", "completion_tokens")]
    return [*counts, _money(usage["cost_usd"])]


def _amount(name: str, value: float) -> str:
    return _money(value) if name == "usd" else f"{value:,}"


def _money(usd: float | None) -> str:
    """Dollars, with so many digits that a cheap call is not nothing."""
    if usd is None:
        return "unknown"
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.6f}"
