"""A load and a quota over time, read from CSV. Every fault names its line and column."""

import csv
import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headrace_cli.errors import CliError

MINUTE_S = 60.0
MOST_ROWS = 10_000
MOST_RUNS = 200_000
LONGEST_S = 7 * 86_400.0
TIME, PER_S, COUNT, RPM, SECONDS, CALLS = "time_s", "runs_per_s", "runs", "rpm", "seconds_per_call", "calls_per_run"
RANGES = {
    TIME: (0.0, LONGEST_S),
    PER_S: (0.0, 1000.0),
    COUNT: (0.0, float(MOST_RUNS)),
    RPM: (1.0, 1e6),
    SECONDS: (0.01, 3600.0),
    CALLS: (1.0, 100.0),
}
"""The least and the most of each column."""
DEFAULTS = {SECONDS: 8.0, CALLS: 1.0}
HINT = f"columns are {TIME}, {PER_S} or {COUNT}, {RPM}, and if you like {SECONDS} (8) and {CALLS} (1)"


@dataclass(frozen=True, slots=True)
class Row:
    """What holds from its time to the next row's."""

    time_s: float
    runs_per_s: float
    rpm: float
    """What the provider grants."""
    seconds_per_call: float
    calls_per_run: float
    """On average: 1.6 is one, and in six of ten runs a second."""

    @property
    def calls_in_flight(self) -> float:
        """Calls that the quota keeps in flight: Little's law."""
        return self.rpm / MINUTE_S * self.seconds_per_call


@dataclass(frozen=True, slots=True)
class Arrival:
    """A run, and how long each of its calls takes."""

    time_s: float
    calls_s: tuple[float, ...]


def parse(text: str, source: str) -> Sequence[Row]:
    """At least two rows, by time; the last ends the trace. Raises `CliError`."""
    reader = csv.DictReader(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    columns = [name.strip() for name in reader.fieldnames or ()]
    unknown = [name for name in columns if name not in RANGES]
    missing = [name for name in (TIME, RPM) if name not in columns]
    if unknown or missing or (PER_S in columns) == (COUNT in columns):
        fault = f"does not know the column {unknown[0]!r}" if unknown else f"has no column {(*missing, PER_S)[0]}"
        if not unknown and not missing:
            fault = f"must have one of the columns {PER_S} and {COUNT}"
        raise CliError(f"{source} {fault}", hint=HINT)
    reader.fieldnames = columns
    cells = [_numbers(one, f"{source}, row {number}") for number, one in enumerate(reader, 1)]
    if not 2 <= len(cells) <= MOST_ROWS:
        raise CliError(
            f"{source} has {len(cells)} rows, and must have 2 to {MOST_ROWS}", hint="the last row ends the trace"
        )
    for number, (one, two) in enumerate(itertools.pairwise(cells), 2):
        if two[TIME] <= one[TIME]:
            raise CliError(f"{source}, row {number}: {TIME} {two[TIME]:g} is not after {one[TIME]:g}")
    rows = [_row(one, span_s) for one, span_s in zip(cells, _spans(cells), strict=True)]
    runs = sum(row.runs_per_s * span_s for row, span_s in zip(rows, _spans(cells), strict=True))
    if runs > MOST_RUNS:
        raise CliError(f"{source} has {runs:,.0f} runs; {MOST_RUNS:,} are the most")
    return rows


def arrivals(rows: Sequence[Row], *, seed: int, spread: float) -> list[Arrival]:
    """Runs that arrive at random, at each row's rate; calls of lognormal length around its `seconds_per_call`.

    `spread` is the standard deviation of a call's length over its mean.
    """
    chance = random.Random(seed)  # noqa: S311 - simulates, keeps no secret
    variance = math.log(1 + spread**2)
    found: list[Arrival] = []
    for row, end in itertools.pairwise(rows):
        at = row.time_s
        while row.runs_per_s and (at := at + chance.expovariate(row.runs_per_s)) < end.time_s:
            count = math.floor(row.calls_per_run + chance.random())
            factors = [chance.lognormvariate(-variance / 2, math.sqrt(variance)) for _ in range(count)]
            found.append(Arrival(at, tuple(row.seconds_per_call * factor for factor in factors)))
    return found


def _spans(cells: Sequence[dict[str, float]]) -> Iterable[float]:
    times = [one[TIME] for one in cells]
    return [end - begin for begin, end in zip(times, (*times[1:], times[-1]), strict=True)]


def _row(cells: dict[str, float], span_s: float) -> Row:
    per_s = cells[PER_S] if PER_S in cells else cells[COUNT] / span_s if span_s else 0.0
    return Row(cells[TIME], per_s, cells[RPM], cells[SECONDS], cells[CALLS])


def _numbers(cells: dict[str | None, str | None], where: str) -> dict[str, float]:
    found = dict(DEFAULTS)
    for name, text in cells.items():
        if name is None:
            raise CliError(f"{where} has more values than there are columns")
        try:
            value = float(text or "")
        except ValueError:
            raise CliError(f"{where}: {name} {text or 'is empty and'} is not a number", hint=HINT) from None
        least, most = RANGES[name]
        if not least <= value <= most:
            raise CliError(f"{where}: {name} {text} is not from {least:g} to {most:g}")
        found[name] = value
    return found
