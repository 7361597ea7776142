"""Counts what becomes of requests, by kind. Plain arithmetic."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headrace_llm.gate.pace import SECOND_US, Quota

from headrace_cli.capacity.model import MINUTE_S, Kind


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a number of requests."""

    answered: int
    refused: int
    """Told by the gate that their turn would come too late."""
    late: int
    """Given up at their deadline: waiting for a slot, or during a call."""
    wait_p50_s: float | None
    """Of those that were answered: for a slot and at the gate, all calls together. None when none was."""
    wait_p95_s: float | None
    response_s: float | None
    """From request to answer, on average."""

    @property
    def lost(self) -> float:
        """The part that was not answered."""
        ended = self.answered + self.refused + self.late
        return (self.refused + self.late) / ended if ended else 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """What a number of users met."""

    users: int
    per_minute: float
    """Answers a minute."""
    requests_used: float
    """The part of the requests per minute that was granted."""
    tokens_used: float
    """The part of the tokens per minute that was used, 0 when they are not bounded."""
    all: Served
    kinds: dict[str, Served]

    @property
    def quota_used(self) -> float:
        """The part of the scarcer side of the quota that was used."""
        return max(self.requests_used, self.tokens_used)


@dataclass(slots=True)
class _Count:
    waits_us: list[int] = field(default_factory=list)
    responses_us: list[int] = field(default_factory=list)
    refused: int = 0
    late: int = 0


class Tally:
    """Counts of one simulation."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._counts = {kind.name: _Count() for kind in kinds}
        self._calls = 0
        self._tokens = 0

    def granted(self) -> None:
        """The gate let a call through."""
        self._calls += 1

    def used(self, tokens: int) -> None:
        """A call used so many tokens."""
        self._tokens += tokens

    def answered(self, kind: Kind, *, waited_us: int, response_us: int) -> None:
        """A request was answered."""
        count = self._counts[kind.name]
        count.waits_us.append(waited_us)
        count.responses_us.append(response_us)

    def refused(self, kind: Kind) -> None:
        """A request was refused at the gate."""
        self._counts[kind.name].refused += 1

    def late(self, kind: Kind) -> None:
        """A request's deadline passed."""
        self._counts[kind.name].late += 1

    def point(self, *, users: int, seconds: float, quota: Quota) -> Point:
        """The counts of so many seconds as rates."""
        minutes = seconds / MINUTE_S
        every = _served(self._counts.values())
        return Point(
            users=users,
            per_minute=every.answered / minutes,
            requests_used=self._calls / (quota.rpm * minutes),
            tokens_used=self._tokens / (quota.tpm * minutes) if quota.tpm else 0.0,
            all=every,
            kinds={name: _served([count]) for name, count in self._counts.items()},
        )


def _served(counts: Iterable[_Count]) -> Served:
    counts = list(counts)
    waits = sorted(wait for count in counts for wait in count.waits_us)
    responses = [response for count in counts for response in count.responses_us]
    return Served(
        answered=len(waits),
        refused=sum(count.refused for count in counts),
        late=sum(count.late for count in counts),
        wait_p50_s=_quantile_s(waits, 0.5),
        wait_p95_s=_quantile_s(waits, 0.95),
        response_s=sum(responses) / len(responses) / SECOND_US if responses else None,
    )


def _quantile_s(ascending_us: Sequence[int], part: float) -> float | None:
    """The smallest value that at least this part of them does not exceed."""
    if not ascending_us:
        return None
    return ascending_us[max(0, math.ceil(part * len(ascending_us)) - 1)] / SECOND_US
