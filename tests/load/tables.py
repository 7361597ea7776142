"""How figures are printed."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tests.load.figures import Figures, Slice
from tests.load.results import Repeated, Shown

console = Console(width=150, highlight=False)

COLUMNS = (
    "", "offered", "useful", "goodput", "429 share", "calls/answer", "told at once", "others", "longest gap s",
    "most in 1 s",
)  # fmt: skip


def table(title: str, *columns: str) -> Table:
    """An empty one; the first column is text."""
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number == 0 else "right")
    return made


def figures_table(title: str) -> Table:
    """For `add_figures`."""
    return table(title, *COLUMNS)


def add_figures(made: Table, name: str, one: Figures) -> None:
    """A row of a run."""
    made.add_row(
        name, str(one.offered), str(one.useful), percent(one.goodput), percent(one.refused_share, 2),
        f"{one.calls_per_useful:.2f}", percent(one.told_at_once), others(one.outcomes), f"{one.gap_s:.2f}",
        str(one.most_in_1s),
    )  # fmt: skip


def others(outcomes: Mapping[str, int]) -> str:
    """What became of the calls that were neither useful nor turned away, nor cut off by the end."""
    found = {name: count for name, count in sorted(outcomes.items()) if name not in ("useful", "refused", "cut")}
    return ", ".join(f"{count} {name}" for name, count in found.items()) or "-"


def timeline(title: str, slices: Sequence[Slice]) -> Table:
    """A run over time."""
    made = table(title, "from s", "used of the quota", "429 share")
    for one in slices:
        made.add_row(f"{one.from_s:.0f}", percent(one.used), percent(one.refused_share))
    return made


def percent(value: float, digits: int = 1) -> str:
    """0.5 as 50.0 %."""
    return f"{100 * value:.{digits}f} %"


def verdict(shown: Shown) -> None:
    """Print a line for each thing that was to be shown, and whether it was."""
    for check in shown.checks:
        said = f"{'holds ' if check.holds else 'FAILS '} {shown.case}: {check.name} {check.seen} (wanted {check.wanted})"
        console.print(said, style="green" if check.holds else "red")


def summary(title: str, cases: Sequence[Repeated]) -> Table:
    """All cases with all their runs."""
    made = table(title, "case", "runs", "goodput %", "429 %", "seen", "wanted", "holds")
    for column in made.columns[4:]:
        column.justify = "left"
    for one in cases:
        made.add_row(
            one.case, str(one.runs), _spread(one.goodput, 1), _spread(one.refused_share, 2),
            "\n".join(f"{check.name}: {'; '.join(check.seen)}" for check in one.checks),
            "\n".join(check.wanted for check in one.checks),
            "\n".join(f"{check.held} of {len(check.seen)}" for check in one.checks),
        )  # fmt: skip
    return made


def _spread(values: tuple[float, float, float], digits: int) -> str:
    least, middle, most = (f"{100 * value:.{digits}f}" for value in values)
    return middle if least == most else f"{middle} ({least} – {most})"
