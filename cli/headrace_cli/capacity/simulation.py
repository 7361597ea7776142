"""Users in virtual time before the real gate: discrete events, the same for the same seed. Times are microseconds.

A user thinks, asks, waits for a slot of an executor, makes the request's calls one after another, each through the gate,
reads the answer, and thinks again. Whoever is refused thinks and asks anew. The provider grants what it promises.
"""

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from headrace_llm import waits
from headrace_llm.gate.limiter import Limiter
from headrace_llm.gate.pace import SECOND_US
from headrace_llm.gate.turns import Waiter, order

from headrace_cli.capacity.model import Kind, Scenario
from headrace_cli.capacity.tally import Point, Tally

LOOK_US = SECOND_US
"""Longest time between two looks at a gate where somebody waits, as the gate's processes have it."""
NORMAL_QUANTILE = 2.576
"""Standard deviations below which 99.5 % of a normal variable lie: what `headrace_llm.history` learns of real calls."""
BACK_US = SECOND_US
"""Whoever was refused does not come back sooner, whatever the think time."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a number of users is simulated."""

    seconds: float
    """Virtual time that is counted."""
    warm_up_s: float
    """Virtual time before that, which is not."""
    seed: int = 1
    spread: float = 0.5
    """The standard deviation of a call's seconds and tokens, as a part of their mean; their shape is lognormal."""


@dataclass(slots=True, eq=False)
class Request:
    """What a user waits for."""

    user: int
    kind: Kind
    calls_left: int
    asked_us: int
    latest_us: int
    """When it is given up."""
    since_us: int
    """Since when it is where it is: in line, at the gate, or being answered."""
    waited_us: int = 0
    """In line and at the gate, before that."""
    has_slot: bool = False
    called: bool = False
    """Whether a model answers it now."""
    ended: bool = False


def simulate(scenario: Scenario, users: int, run: Run) -> Point:
    """Let so many users ask, and count."""
    return _World(scenario, users, run).play()


class _World:
    def __init__(self, scenario: Scenario, users: int, run: Run) -> None:
        self._scenario = scenario
        self._run = run
        self._begin_us = round(run.warm_up_s * SECOND_US)
        self._now_us = 0
        self._limiter = Limiter(scenario.quota)
        self._tally = Tally(scenario.kinds)
        # A user's fortune does not depend on how many others there are: numbers of users can be compared.
        self._chances = [random.Random(f"{run.seed}.{user}") for user in range(users)]  # noqa: S311
        variance = math.log(1 + run.spread**2)
        self._needed = math.exp(NORMAL_QUANTILE * math.sqrt(variance) - variance / 2)
        """What almost every call is done within, beside the mean."""
        self._shape = (-variance / 2, math.sqrt(variance))
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = 0
        self._free = scenario.slots
        self._line: list[tuple[int, int, int, Request]] = []
        """Requests that wait for a slot: by priority, then age."""
        self._at_gate: dict[str, Request] = {}
        self._look_us = math.inf

    def play(self) -> Point:
        end_us = self._begin_us + round(self._run.seconds * SECOND_US)
        for user, chance in enumerate(self._chances):
            self._at(round(chance.uniform(0, self._scenario.round_s) * SECOND_US), partial(self._ask, user))
        while self._events and self._events[0][0] <= end_us:
            self._now_us, _, happen = heapq.heappop(self._events)
            if self._now_us >= self._begin_us > 0:
                self._tally, self._begin_us = Tally(self._scenario.kinds), 0
            happen()
        return self._tally.point(users=len(self._chances), seconds=self._run.seconds, quota=self._scenario.quota)

    def _at(self, when_us: int, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when_us, self._next(), happen))

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    # A user

    def _think(self, user: int, *, least_us: int) -> None:
        think_s = self._scenario.think_s
        thinks_us = round(self._chances[user].expovariate(1 / think_s) * SECOND_US) if think_s else 0
        self._at(self._now_us + max(thinks_us, least_us), partial(self._ask, user))

    def _ask(self, user: int) -> None:
        chance, kinds = self._chances[user], self._scenario.kinds
        kind = chance.choices(kinds, [kind.share for kind in kinds])[0]
        calls = math.floor(kind.calls + chance.random())
        latest_us = self._now_us + round(kind.patience_s * SECOND_US)
        request = Request(user, kind, calls, self._now_us, latest_us, self._now_us)
        self._at(latest_us, partial(self._give_up, request))
        heapq.heappush(self._line, (kind.priority, self._now_us, self._next(), request))
        self._claim()

    # The executors

    def _claim(self) -> None:
        while self._free and self._line:
            request = heapq.heappop(self._line)[-1]
            if not request.ended:
                self._free -= 1
                request.has_slot = True
                request.waited_us += self._now_us - request.since_us
                self._call(request)

    def _give_up(self, request: Request) -> None:
        if request.ended:
            return
        if request.called:
            self._settle(request, tokens=request.kind.tokens)
        self._tally.late(request.kind)
        self._end(request, least_us=BACK_US)

    def _refuse(self, request: Request) -> None:
        self._tally.refused(request.kind)
        self._end(request, least_us=BACK_US)

    def _end(self, request: Request, *, least_us: int = 0) -> None:
        request.ended = True
        self._think(request.user, least_us=least_us)
        if request.has_slot:
            self._free += 1
            self._at(self._now_us, self._claim)

    # The gate

    def _call(self, request: Request) -> None:
        kind, remaining_us = request.kind, request.latest_us - self._now_us
        if remaining_us < 2:
            return  # it is given up before it could leave the gate
        number = self._next()
        name = f"user:{number}"
        place = order(age_us=request.asked_us, unblocks=0, number=number, id=name)
        budget_s = waits.wait_budget_s(
            remaining_s=remaining_us / SECOND_US, needed_s=kind.seconds * self._needed, expected_s=kind.seconds
        )
        latest_us = self._now_us + round(budget_s * SECOND_US)
        waiter = Waiter(name, kind.priority - 1, "", 1.0, place, round(kind.tokens), latest_us)
        request.since_us = self._now_us
        entered = self._limiter.enter(waiter, now_us=self._now_us, deliver=self._deliver)
        if entered.granted:
            self._granted(request)
        elif entered.refused:
            self._refuse(request)
        else:
            self._at_gate[name] = request
            self._at(latest_us + 1, partial(self._leave, name))
            self._look_within(entered.due_us)

    def _deliver(self, waiter: Waiter) -> bool:
        self._granted(self._at_gate.pop(waiter.id))
        return True

    def _leave(self, name: str) -> None:
        request = self._at_gate.pop(name, None)
        if request is not None:
            self._limiter.turns.leave(name)
            self._refuse(request)

    def _look_within(self, due_us: float) -> None:
        look_us = self._now_us + min(math.ceil(due_us), LOOK_US)
        if look_us < self._look_us:
            self._look_us = look_us
            self._at(look_us, partial(self._look, look_us))

    def _look(self, look_us: int) -> None:
        if look_us != self._look_us:
            return  # an earlier one has taken its place
        self._look_us = math.inf
        due_us = self._limiter.pump(now_us=self._now_us, deliver=self._deliver)
        if due_us >= 0:
            self._look_within(due_us)

    # The provider

    def _granted(self, request: Request) -> None:
        self._tally.granted()
        request.waited_us += self._now_us - request.since_us
        request.since_us = self._now_us
        request.called = True
        factor = self._chances[request.user].lognormvariate(*self._shape)
        takes_us = round(request.kind.seconds * factor * SECOND_US)
        self._at(self._now_us + takes_us, partial(self._answered, request, request.kind.tokens * factor))

    def _answered(self, request: Request, tokens: float) -> None:
        if request.ended:
            return
        self._settle(request, tokens=tokens)
        request.called = False
        request.calls_left -= 1
        if request.calls_left:
            self._call(request)
            return
        response_us = self._now_us - request.asked_us
        self._tally.answered(request.kind, waited_us=request.waited_us, response_us=response_us)
        self._end(request)

    def _settle(self, request: Request, *, tokens: float) -> None:
        self._tally.used(round(tokens))
        rest_us = self._limiter.settle(
            reserved=round(request.kind.tokens),
            used=round(tokens),
            seconds=(self._now_us - request.since_us) / SECOND_US,
            granted_us=self._now_us,
            now_us=self._now_us,
            deliver=self._deliver,
        )
        if rest_us >= 0:
            self._look_within(rest_us)
