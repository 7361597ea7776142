"""What plays amount to: figures, a table, sentences. Pure."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from headrace_cli.scaling.simulation import SAMPLE_S, Play, fed
from headrace_cli.scaling.trace import MINUTE_S, Row

Json = Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the replicas of any policy are measured by."""

    min_replicas: int
    calls_per_replica: int
    headroom: float

    def fed(self, row: Row) -> int:
        """The most replicas that are of use: what the true quota can feed, and the minimum."""
        return max(self.min_replicas, fed(row, self.calls_per_replica, self.headroom))


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy's."""

    policy: str
    replica_s: float
    """Seconds of all replicas together, those included that start or drain."""
    beyond_quota_s: float
    """Seconds of replicas that were asked for beyond what the quota can feed."""
    most_replicas: int
    changes: int
    reversals: int
    """Changes of the scale against the one before."""
    reaction_s: float | None
    """From a row with more runs than the one before to the first replica more that was asked for, on average over the
    rows in which one was; None when none was."""
    wait_p50_s: float | None
    """Of a run that has ended, all that it took beyond its calls: in the queue and at the gate."""
    wait_p95_s: float | None
    unfinished: int
    handed_back: int
    throttled: float
    """Calls answered 429, 0 to 1."""
    quota_used: float
    """Calls that were granted, over what the provider would have granted, 0 to 1."""
    limited_by: dict[str, int]


def figures(play: Play, rows: Sequence[Row], bounds: Bounds) -> Figures:
    """Measure a play."""
    moves = [
        (two.time_s, two.replicas - one.replicas)
        for one, two in zip(play.samples, play.samples[1:], strict=False)
        if two.replicas != one.replicas
    ]
    most = [bounds.fed(row) for row in _row_of_samples(play, rows)]
    beyond = sum(max(0, one.replicas - each) for one, each in zip(play.samples, most, strict=True))
    granted = sum(row.rpm / MINUTE_S * (end.time_s - row.time_s) for row, end in itertools.pairwise(rows))
    reactions = _reactions(rows, [time for time, difference in moves if difference > 0])
    return Figures(
        policy=play.name,
        replica_s=sum(one.pods for one in play.samples) * SAMPLE_S,
        beyond_quota_s=beyond * SAMPLE_S,
        most_replicas=max(one.pods for one in play.samples),
        changes=len(moves),
        reversals=sum(one[1] * two[1] < 0 for one, two in itertools.pairwise(moves)),
        reaction_s=sum(reactions) / len(reactions) if reactions else None,
        wait_p50_s=_quantile(play.waits_s, 0.5),
        wait_p95_s=_quantile(play.waits_s, 0.95),
        unfinished=play.unfinished,
        handed_back=play.handed_back,
        throttled=play.refused / play.calls if play.calls else 0.0,
        quota_used=(play.calls - play.refused) / granted,
        limited_by=dict(sorted((why, count) for why, count in play.limited_by.items() if why)),
    )


def table(all_figures: Sequence[Figures]) -> Table:
    """A row for each policy."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("POLICY", no_wrap=True)
    names = ("REPLICA s", "BEYOND s", "MOST", "REVERSALS", "REACT s", "p50 s", "p95 s")
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    for one in all_figures:
        shown.add_row(
            one.policy,
            f"{one.replica_s:.0f}",
            f"{one.beyond_quota_s:.0f}",
            str(one.most_replicas),
            str(one.reversals),
            *(_or_dash(value) for value in (one.reaction_s, one.wait_p50_s, one.wait_p95_s)),
        )
    return shown


def lines(all_figures: Sequence[Figures]) -> list[str]:
    """What the table does not say."""
    said = []
    for one in all_figures:
        parts = [f"{one.changes} changes", f"{100 * one.throttled:.1f} % of the calls answered 429"]
        parts.append(f"{100 * one.quota_used:.0f} % of the quota used")
        parts += [f"{one.unfinished} runs not ended"] if one.unfinished else []
        parts += [f"{one.handed_back} handed back by executors that went"] if one.handed_back else []
        if one.limited_by:
            total = sum(one.limited_by.values())
            shares = sorted(one.limited_by.items(), key=lambda item: -item[1])
            parts.append("limited by " + ", ".join(f"{why} {100 * count / total:.0f} %" for why, count in shares))
        said.append(f"{one.policy}: {'; '.join(parts)}")
    return said


def _row_of_samples(play: Play, rows: Sequence[Row]) -> list[Row]:
    found, number = [], 0
    for one in play.samples:
        while number + 1 < len(rows) and rows[number + 1].time_s <= one.time_s:
            number += 1
        found.append(rows[number])
    return found


def _reactions(rows: Sequence[Row], ups: Sequence[float]) -> list[float]:
    found = []
    for before, row, end in zip(rows, rows[1:], rows[2:], strict=False):
        if row.runs_per_s > before.runs_per_s:
            found += [up - row.time_s for up in ups if row.time_s <= up < end.time_s][:1]
    return found


def _quantile(ascending: Sequence[float], share: float) -> float | None:
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)] if ascending else None


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
