"""What the cases came to: each with its two figures and what it had to show. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to be shown."""

    name: str
    seen: str
    wanted: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """One run of a case."""

    case: str
    goodput: float
    refused_share: float
    checks: tuple[Check, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all was shown."""
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, slots=True)
class Repeated:
    """All runs of a case. Spreads are the least, the middle and the most of them."""

    case: str
    runs: int
    goodput: tuple[float, float, float]
    refused_share: tuple[float, float, float]
    checks: tuple["Spread", ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """One check over all runs of its case."""

    name: str
    seen: tuple[str, ...]
    wanted: str
    held: int


def repeated(shown: Iterable[Shown]) -> list[Repeated]:
    """The runs by case, in the order in which the cases came first."""
    cases: dict[str, list[Shown]] = {}
    for one in shown:
        cases.setdefault(one.case, []).append(one)
    return [
        Repeated(
            case,
            len(runs),
            spread([run.goodput for run in runs]),
            spread([run.refused_share for run in runs]),
            _checks(runs),
        )
        for case, runs in cases.items()
    ]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The least, the median (of an even number the lower one) and the most."""
    ordered = sorted(values)
    return ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]


def _checks(runs: Sequence[Shown]) -> tuple[Spread, ...]:
    """By name: a run that broke off has others than one that ended."""
    found: dict[str, list[Check]] = {}
    for check in (check for run in runs for check in run.checks):
        found.setdefault(check.name, []).append(check)
    return tuple(
        Spread(name, tuple(one.seen for one in checks), checks[0].wanted, sum(one.holds for one in checks))
        for name, checks in found.items()
    )
