"""Executors, the gate and a provider in virtual time: what a scale does to runs. Times inside are microseconds.

Real is the gate (`headrace_llm.gate.limiter`), its learning from 429s included, and the provider's meter. Executors are a
model: they start and drain in a given time, hold a run in each slot until it has ended, and make its calls one by one.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from headrace_llm.gate.limiter import Limiter
from headrace_llm.gate.pace import SECOND_US, Quota
from headrace_llm.gate.turns import Waiter, order
from headrace_simulator.meters import Bucket

from headrace_cli.scaling.trace import Arrival, Row

LOOK_US = SECOND_US
"""Longest time between two looks at a gate where somebody waits, as the gate's processes have it."""
REFUSAL_US = SECOND_US // 5
"""What a 429 takes to come back."""
COOL_DOWN_US = 2 * SECOND_US
"""The gate's pause after a 429 that does not say how long."""
FOREVER_US = 1 << 60


@dataclass(frozen=True, slots=True)
class Machine:
    """What an executor can do, and how long it takes to come and go."""

    slots: int
    start_s: float
    """From being asked for to being ready."""
    drain_s: float
    """How long one that goes may finish its runs; what is left is handed back, its call in flight lost."""


class Phase(StrEnum):
    """Where an executor is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True, eq=False)
class Executor:
    """One replica."""

    number: int
    phase: Phase
    runs: set["Run"] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Run:
    """A run on its way."""

    number: int
    arrival: Arrival
    done: int = 0
    """Calls that have been answered."""
    life: int = 0
    """How often it was handed back: what was under way before counts no more."""
    executor: Executor | None = None
    ended_us: int = -1

    @property
    def wait_s(self) -> float:
        """What it took beyond its calls."""
        return self.ended_us / SECOND_US - self.arrival.time_s - sum(self.arrival.calls_s)


class Plant:
    """Plays arrivals against a scale that may be changed at any time. It begins with `replicas` ready ones."""

    def __init__(self, rows: Sequence[Row], arrivals: Sequence[Arrival], machine: Machine, *, replicas: int) -> None:
        self._machine = machine
        self.limiter = Limiter(Quota(max(row.rpm for row in rows), 0.0))
        """Is configured with the most that the provider ever grants; less it has to learn."""
        self._provider = Bucket(0.0, rows[0].rpm)
        self.now_us = 0
        self.line: deque[Run] = deque()
        self.runs = [Run(number, arrival) for number, arrival in enumerate(arrivals)]
        self.handed_back = 0
        self.calls = 0
        self.refused = 0
        self._numbers = itertools.count()
        self.executors = [Executor(next(self._numbers), Phase.READY) for _ in range(replicas)]
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._at_gate: dict[str, tuple[Run, int]] = {}
        self._look_us = FOREVER_US
        for row in rows:
            self.at(row.time_s, partial(self._grant_rate, row.rpm))
        for run in self.runs:
            self.at(run.arrival.time_s, partial(self._arrive, run))

    @property
    def running(self) -> int:
        """Runs that hold a slot."""
        return sum(len(one.runs) for one in self.executors)

    @property
    def replicas(self) -> int:
        """The scale: executors that are not on their way out."""
        return sum(one.phase is not Phase.DRAINING for one in self.executors)

    def at(self, time_s: float, happen: Callable[[], None]) -> None:
        """Let something happen."""
        self._later(round(time_s * SECOND_US) - self.now_us, happen)

    def play(self, end_s: float) -> None:
        """Let everything happen until then."""
        while self._events and self._events[0][0] <= end_s * SECOND_US:
            self.now_us, _, happen = heapq.heappop(self._events)
            happen()
        self.now_us = round(end_s * SECOND_US)

    def scale(self, replicas: int, *, idle_first: bool) -> None:
        """Ask for so many. Those go first that are not ready yet; then the idlest, or else the youngest."""
        for _ in range(replicas - self.replicas):
            one = Executor(next(self._numbers), Phase.STARTING)
            self.executors.append(one)
            self._later(round(self._machine.start_s * SECOND_US), partial(self._started, one))
        staying = [one for one in self.executors if one.phase is not Phase.DRAINING]
        staying.sort(key=lambda one: (one.phase is Phase.READY, len(one.runs) if idle_first else 0, -one.number))
        for one in staying[: max(0, len(staying) - replicas)]:
            if one.runs:
                one.phase = Phase.DRAINING
                self._later(round(self._machine.drain_s * SECOND_US), partial(self._hand_back, one))
            else:
                self.executors.remove(one)

    def _later(self, after_us: int, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_us + after_us, next(self._numbers), happen))

    def _grant_rate(self, rpm: float) -> None:
        if rpm != self._provider.per_minute:
            self._provider.change(self.now_us / SECOND_US, rpm)

    # Executors

    def _arrive(self, run: Run) -> None:
        self.line.append(run)
        self._claim()

    def _started(self, one: Executor) -> None:
        if one.phase is Phase.STARTING:
            one.phase = Phase.READY
            self._claim()

    def _claim(self) -> None:
        ready = [one for one in self.executors if one.phase is Phase.READY]
        while self.line and ready:
            one = min(ready, key=lambda each: len(each.runs))
            if len(one.runs) >= self._machine.slots:
                return
            run = self.line.popleft()
            one.runs.add(run)
            run.executor = one
            self._call(run)

    def _leave(self, run: Run) -> None:
        one = run.executor
        assert one is not None
        one.runs.discard(run)
        run.executor = None
        if one.phase is Phase.DRAINING and not one.runs:
            self.executors.remove(one)

    def _hand_back(self, one: Executor) -> None:
        for run in sorted(one.runs, key=lambda each: -each.number):
            name = self._name(run)
            if self._at_gate.pop(name, None) is not None:
                self.limiter.turns.leave(name)
            run.life += 1
            self.handed_back += 1
            self._leave(run)
            self.line.appendleft(run)
        self._claim()

    # The gate

    def _name(self, run: Run) -> str:
        return f"run:{run.number}:{run.life}:{run.done}"

    def _call(self, run: Run) -> None:
        name, age_us = self._name(run), round(run.arrival.time_s * SECOND_US)
        place = order(age_us=age_us, unblocks=0, number=run.number, id=name)
        waiter = Waiter(name, 0, "", 1.0, place, 0, FOREVER_US)
        entered = self.limiter.enter(waiter, now_us=self.now_us, deliver=self._deliver)
        if entered.granted:
            self._granted(run, run.life)
        else:
            assert not entered.refused, "the gate's queue holds every run that an executor can hold"
            self._at_gate[name] = (run, run.life)
            self._look_within(entered.due_us)

    def _deliver(self, waiter: Waiter) -> bool:
        self._granted(*self._at_gate.pop(waiter.id))
        return True

    def _look_within(self, due_us: float) -> None:
        look_us = self.now_us + min(int(due_us) + 1, LOOK_US)
        if look_us < self._look_us:
            self._look_us = look_us
            self._later(look_us - self.now_us, partial(self._look, look_us))

    def _look(self, look_us: int) -> None:
        if look_us != self._look_us:
            return  # an earlier one has taken its place
        self._look_us = FOREVER_US
        due_us = self.limiter.pump(now_us=self.now_us, deliver=self._deliver)
        if due_us >= 0:
            self._look_within(due_us)

    # The provider

    def _granted(self, run: Run, life: int) -> None:
        now_s = self.now_us / SECOND_US
        self.calls += 1
        if self._provider.wait(now_s, 1) > 0:
            self._provider.waste(now_s)
            self.refused += 1
            self._later(REFUSAL_US, partial(self._throttled, run, life, self.now_us))
            return
        self._provider.take(now_s, 1)
        takes_us = round(run.arrival.calls_s[run.done] * SECOND_US)
        self._later(takes_us, partial(self._answered, run, life, self.now_us))

    def _throttled(self, run: Run, life: int, granted_us: int) -> None:
        self.limiter.refused(granted_us=granted_us, pause_us=COOL_DOWN_US, asked=False, now_us=self.now_us)
        if run.life == life:
            self._call(run)

    def _answered(self, run: Run, life: int, granted_us: int) -> None:
        due_us = self.limiter.settle(
            reserved=0,
            used=0,
            seconds=(self.now_us - granted_us) / SECOND_US,
            granted_us=granted_us,
            now_us=self.now_us,
            deliver=self._deliver,
        )
        if due_us >= 0:
            self._look_within(due_us)
        if run.life != life:
            return  # its executor is gone, and nobody heard the answer
        run.done += 1
        if run.done < len(run.arrival.calls_s):
            self._call(run)
            return
        run.ended_us = self.now_us
        self._leave(run)
        self._claim()
