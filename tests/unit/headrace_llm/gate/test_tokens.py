"""A limit whose tokens bind, against the simulator's own quota, in virtual time: an answer is as long as it turns out."""

import heapq
import itertools
import math
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_llm.gate.limiter import Limiter
from headrace_llm.gate.pace import SECOND_US, Quota
from headrace_llm.gate.turns import Waiter, order
from headrace_llm.history import History
from headrace_simulator import policy

START_US = 1_790_000_000 * SECOND_US
PROMPT, MEDIAN, SIGMA = 13, 40, 0.4
MEAN = PROMPT + MEDIAN * math.exp(SIGMA**2 / 2)


@dataclass
class Provider:
    """Charges a call, when it comes, with the tokens that it will have."""

    tpm: float
    used: float = 0.0
    calls: int = 0
    refused: int = 0
    quota: policy.Quota = field(init=False)

    def __post_init__(self) -> None:
        self.quota = policy.Quota(0.0, policy.Limit(tpm=self.tpm))

    def call(self, now: float, tokens: float) -> float | None:
        self.calls += 1
        if (refusal := self.quota.refusal(now)) is not None:
            self.refused += 1
            return refusal.wait_s or 0.0
        self.quota.enter(now, tokens)
        self.used += tokens
        return None


class Demand:
    """Always forty calls that wait; whoever is refused comes again."""

    def __init__(self, *, calls_per_s: float, seed: int) -> None:
        self.random = random.Random(seed)
        tpm = 60 * calls_per_s * MEAN
        self.provider = Provider(tpm)
        self.limiter = Limiter(Quota(rpm=6000, tpm=tpm))
        self.history = History(default_max_tokens=43)
        self.now = 0.0
        self.numbers = itertools.count()
        self.events: list[tuple[float, int, str, Waiter, Any]] = []
        self.let_through: list[Waiter] = []

    def deliver(self, waiter: Waiter) -> bool:
        self.let_through.append(waiter)
        return True

    @property
    def now_us(self) -> int:
        return START_US + math.ceil(self.now * SECOND_US)

    def enter(self) -> None:
        number = next(self.numbers)
        tokens = PROMPT + self.history.expected_tokens("m", max_tokens=1000)
        place = order(age_us=0, unblocks=0, number=number, id=str(number))
        waiter = Waiter(str(number), 0, "a", 1.0, place, tokens, START_US * 2)
        if self.limiter.enter(waiter, now_us=self.now_us, deliver=self.deliver).granted:
            self.let_through.append(waiter)

    def send(self) -> None:
        for waiter in self.let_through:
            at = self.now + self.random.random() * 0.015
            heapq.heappush(self.events, (at, next(self.numbers), "arrives", waiter, self.now_us))
        self.let_through = []
        while len(self.limiter.turns) < 40:
            self.enter()

    def arrives(self, waiter: Waiter, granted_us: int) -> None:
        answer = max(1, round(MEDIAN * math.exp(SIGMA * self.random.gauss(0, 1))))
        pause_s = self.provider.call(self.now, PROMPT + answer)
        if pause_s is not None:
            pause_us = round(pause_s * SECOND_US)
            self.limiter.refused(granted_us=granted_us, pause_us=pause_us, asked=True, now_us=self.now_us)
            self.limiter.give_back(
                rank=0, tokens=waiter.tokens, granted_us=granted_us, now_us=self.now_us, deliver=self.deliver
            )
            return
        seconds = 2.5 * math.exp(0.4 * self.random.gauss(0, 1)) + answer / 80
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), "ends", waiter, (granted_us, answer, seconds)))

    def ends(self, waiter: Waiter, granted_us: int, answer: int, seconds: float) -> None:
        self.history.learn("m", completion_tokens=answer, seconds=seconds)
        self.limiter.settle(
            reserved=waiter.tokens, used=PROMPT + answer, seconds=seconds, granted_us=granted_us, now_us=self.now_us,
            deliver=self.deliver,
        )  # fmt: skip

    def run(self, seconds: float) -> None:
        look = 0.0
        while self.now < seconds:
            if self.events and self.events[0][0] < look:
                self.now, _, what, waiter, known = heapq.heappop(self.events)
                if what == "arrives":
                    self.arrives(waiter, known)
                else:
                    self.ends(waiter, *known)
                look = self.now
            else:
                self.now = look
            rest_us = self.limiter.pump(now_us=self.now_us, deliver=self.deliver)
            self.send()
            look = self.now + max(rest_us, 50.0) / SECOND_US


@pytest.mark.parametrize(("calls_per_s", "seconds", "used", "refused"), [(5.0, 300, 0.965, 0.005), (20.0, 80, 0.98, 0.001)])
def test_tokens_that_bind_are_used_and_hardly_refused(
    calls_per_s: float, seconds: float, used: float, refused: float
) -> None:
    found = [Demand(calls_per_s=calls_per_s, seed=seed) for seed in range(4)]
    for one in found:
        one.run(seconds)
    allowed = found[0].provider.tpm / 60 * (seconds + 1) * len(found)
    assert sum(one.provider.used for one in found) / allowed > used
    assert sum(one.provider.refused for one in found) / sum(one.provider.calls for one in found) < refused
