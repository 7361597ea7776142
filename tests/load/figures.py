"""What a run's records and the simulator's books say. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.load.stage import Run
from tests.load.traffic import Record

AT_ONCE_S = 1.0
"""A refusal that comes by then was told at once."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The run as a whole, until its time was over."""

    offered: int
    useful: int
    goodput: float
    """Of what the quota allowed, the part that ended in answers useful to their callers."""
    used: float
    """Of what the quota allowed, the part that was let in by the provider."""
    refused_share: float
    """429s among all calls that reached the provider."""
    calls_per_useful: float
    told_at_once: float
    """Of the calls that the client turned away, the part that it told within `AT_ONCE_S`."""
    outcomes: Mapping[str, int]
    gap_s: float
    """The longest time in which the provider let nobody in."""
    most_in_1s: int
    """Calls that reached the provider within any second."""


def figures(run: Run) -> Figures:
    """Count."""
    books, quota = run.books["total"], _quota(run.books)
    smooth = quota["enforcement"] == "sliding_minute"
    used = float(quota["goodput_smooth" if smooth else "goodput"] or 0.0)
    ended = sum(books["ended"].values())
    end = run.books["now"]
    useful = [one for one in run.records if one.outcome == "useful" and one.at + one.seconds <= end]
    away = [one for one in run.records if one.outcome == "refused"]
    return Figures(
        offered=len(run.records),
        useful=len(useful),
        # Those in flight at the end are taken to end as those before them did.
        goodput=used * min(1.0, len(useful) / ended) if ended else 0.0,
        used=used,
        refused_share=books["refused"] / max(1, books["arrivals"]),
        calls_per_useful=books["arrivals"] / max(1, len(useful)),
        told_at_once=sum(one.seconds <= AT_ONCE_S for one in away) / len(away) if away else 1.0,
        outcomes=Counter(one.outcome for one in run.records) + Counter({"processes stuck": run.stuck}),
        gap_s=books["gap_max_s"],
        most_in_1s=books["arrivals_max_1s"],
    )


@dataclass(frozen=True, slots=True)
class Slice:
    """Some seconds of a run."""

    from_s: float
    used: float
    """Of what the quota allowed then."""
    refused_share: float


def slices(run: Run, *, each_s: int, rate_per_s: float) -> list[Slice]:
    """The run second by second, `each_s` together; `rate_per_s` is the full quota, of which drops leave a part."""
    series = run.final["total"]["series"]
    begin = run.books["since"]
    found = []
    for at in range(0, len(series["accepted"]) - each_s + 1, each_s):
        seconds = range(at, at + each_s)
        start = series["start"] + at
        allowed = sum(rate_per_s * _factor(run.books["factors"], start + second + 0.5) for second in range(each_s))
        accepted, arrived = (sum(series[name][second] for second in seconds) for name in ("accepted", "arrivals"))
        refused = arrived - accepted
        found.append(Slice(start - begin, accepted / allowed if allowed else 0.0, refused / max(1, arrived)))
    return found


def quantile(values: Iterable[float], part: float) -> float:
    """The value that `part` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all have the same."""
    squares = len(shares) * sum(one * one for one in shares)
    return sum(shares) ** 2 / squares if squares else 0.0


def of_flow(records: Iterable[Record], name: str) -> list[Record]:
    """The records of one flow."""
    return [one for one in records if one.flow == name]


def _quota(books: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one that was used most: there is one account."""
    quotas: Iterable[Mapping[str, Any]] = books["quotas"].values()
    return max(quotas, key=lambda one: one["accepted"])


def _factor(changes: Sequence[Mapping[str, float]], at: float) -> float:
    """Which part of the quota the provider granted then."""
    return next((one["factor"] for one in reversed(changes) if one["at"] <= at), 1.0)
