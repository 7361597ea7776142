"""Which numbers of users are worth simulating, and which is the largest that is served well. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from headrace_cli.capacity.model import MINUTE_S, Scenario
from headrace_cli.capacity.simulation import Run
from headrace_cli.capacity.tally import Point

PARTS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0)
"""Which parts of the formula's answer are simulated first: from half empty to where deadlines pass."""
MOST_FURTHER = 4
"""How often the sweep goes on beyond its end by a quarter, while all is well there."""
FINE = 0.01
"""The answer is sought to this part of the formula's, or to one user."""
MOST_USERS = 5_000
"""So many are simulated at most."""
CALLS = 10_000
"""A simulation lasts for so many calls at the full rate, unless a user would then ask oftener than `MOST_ROUNDS`."""
ROUNDS, MOST_ROUNDS = 12, 2_000
"""How often a user asks in a simulation, at least and about at most."""
MOST_CALLS = 200_000
"""One number of users is not simulated for more calls than these."""
WARM_UP = 0.2
"""Then this part of it comes before, uncounted."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What being served well means."""

    wait_s: float
    """The longest wait of 95 % of the requests."""
    lost: float = 0.01
    """The part of the requests that may be refused or late, exclusive."""

    def missed(self, point: Point) -> str:
        """What is not well at so many users, "" for nothing."""
        if point.all.lost >= self.lost:
            return f"{point.all.lost:.1%} of the requests are refused or late"
        wait_s = point.all.wait_p95_s
        if wait_s is None:
            return "nobody is answered"
        return f"the wait's p95 is {wait_s:.1f} s" if wait_s > self.wait_s else ""


def run_of(scenario: Scenario, *, per_s: float, seed: int, spread: float) -> Run:
    """How long to simulate a scenario that can serve `per_s` requests a second."""
    longest_s = MOST_ROUNDS * max(scenario.round_s, MINUTE_S)
    seconds = max(ROUNDS * scenario.round_s, min(CALLS / (per_s * scenario.calls), longest_s))
    return Run(seconds, seconds * WARM_UP, seed, spread)


def explore(look: Callable[[int], Point], around: float, goal: Goal) -> Iterator[Point]:
    """Look at numbers of users on both sides of `around`, then ever closer to the largest that meets the goal."""
    points: list[Point] = []
    for users in _next_to_look_at(points, around, goal):
        points.append(look(users))
        yield points[-1]


def expected_looks(around: float) -> int:
    """About how many numbers of users that will be."""
    gap = around * (PARTS[1] - PARTS[0]) / max(1.0, around * FINE)
    return len(PARTS) + math.ceil(math.log2(max(1.0, gap)))


def most_served(points: Sequence[Point], goal: Goal) -> tuple[int, Point | None]:
    """The largest number of users up to which the goal is met, and the first at which it is not, None when it always is."""
    served = 0
    for point in sorted(points, key=_users):
        if goal.missed(point):
            return served, point
        served = point.users
    return served, None


def _next_to_look_at(points: Sequence[Point], around: float, goal: Goal) -> Iterator[int]:
    yield from sorted({_bounded(around * part) for part in PARTS})
    for _ in range(MOST_FURTHER):
        served, beyond = most_served(points, goal)
        if beyond is not None or served >= MOST_USERS:
            break
        yield _bounded(served * 1.25 + 1)
    served, beyond = most_served(points, goal)
    while beyond is not None and beyond.users - served > max(1.0, around * FINE):
        yield (served + beyond.users) // 2
        served, beyond = most_served(points, goal)


def _bounded(users: float) -> int:
    return min(max(1, round(users)), MOST_USERS)


def _users(point: Point) -> int:
    return point.users
