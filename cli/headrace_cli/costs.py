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
FIGURES = ("calls", "cached", "prompt", "answer", "cost")
NARROWEST: Mapping[str, int] = {"day": 10, "model": 5, "kind": 5, "session": 9, "run": 9}
"""What does not fit a narrow terminal is folded, never cut: ids are there to be copied."""
COLUMNS: Mapping[str, str] = {"day": "day", "model": "model", "kind": "kind", "session": "session_id", "run": "run_id"}
"""The field of a row for each of `--by`."""


def table(answer: Mapping[str, Json], by: Sequence[str]) -> Table:
    """The rows, the columns of `by` first, and the total below them."""
    total = _figures(answer["total"])
    rows = [([_name(row.get(COLUMNS[one])) for one in by], _figures(row["usage"])) for row in answer["rows"]]
    shown = Table(box=None, pad_edge=False, header_style="dim", show_footer=bool(by))
    for at, name in enumerate(by):
        shown.add_column(name, footer="total" if at == 0 else "", overflow="fold", min_width=NARROWEST[name])
    for at, name in enumerate(FIGURES):
        widest = max(len(text) for text in (name, total[at], *(figures[at] for _, figures in rows)))
        shown.add_column(name, justify="right", footer=total[at], min_width=widest)
    for names, figures in rows or ([] if by else [([], total)]):
        shown.add_row(*(escape(name) for name in names), *figures)
    return shown


def budget(answer: Mapping[str, Json], *, now: datetime) -> Table | None:
    """A bar for each limit of today's budget, None for a tenant without one."""
    known = answer.get("budget")
    if not known:
        return None
    left_s = (datetime.fromisoformat(known["resets_at"]) - now).total_seconds()
    title = f"today's budget, anew in {duration(max(0.0, left_s))}"
    bars = Table.grid(padding=(0, 2))
    bars.title, bars.title_justify, bars.title_style = title, "left", "dim"
    for name in ("usd", "tokens", "calls"):
        figure = known["daily"][name]
        limit, used = figure["limit"], figure["used"]
        if limit is None:
            continue
        spent = used >= limit
        bar = ProgressBar(total=max(limit, 1e-9), completed=min(used, limit), width=BAR_WIDTH)
        bar.complete_style = bar.finished_style = "red" if spent else "yellow" if used >= 0.8 * limit else "green"
        bars.add_row(name, bar, f"{_amount(name, used)} of {_amount(name, limit)}", "[red]spent[/]" if spent else "")
    return bars


def _name(value: Json) -> str:
    return "-" if value is None else str(value)


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
