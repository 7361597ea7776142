"""Whatever order calls, outages and returns come in: budgets hold, and no call is lost or counted twice."""

import asyncio
from dataclasses import dataclass, field

from headrace_llm.budgets import Amount
from headrace_llm.errors import BudgetSpent
from headrace_llm.registry import DailyBudget, ModelEntry, Registry, TenantEntry
from headrace_llm.spending import Budgets, Reservation
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.budgets import FakeCounters

LIMIT = 40
PROCESSES = 3
SHARE = 1 / PROCESSES
REGISTRY = Registry.of([ModelEntry(id="m", model="openai/m")], tenants={"t": TenantEntry(daily=DailyBudget(tokens=LIMIT))})
WHO = st.integers(0, PROCESSES - 1)


@dataclass
class Process:
    """One process with a way to the shared counters of its own."""

    counters: FakeCounters
    budgets: Budgets
    open: list[Reservation] = field(default_factory=list)


class BudgetMachine(RuleBasedStateMachine):
    """Three processes, one tenant, one day."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ticks = 0.0
        self.shared = FakeCounters()
        self.true_tokens = 0
        self.ever_away = False
        self.processes = [self._process() for _ in range(PROCESSES)]

    def _process(self) -> Process:
        counters = FakeCounters(days=self.shared.days, seeds=self.shared.seeds)
        budgets = Budgets(REGISTRY, counters, share=SHARE, retry_s=1, now=lambda: 1e9, clock=lambda: self.ticks)
        return Process(counters, budgets)

    @rule(who=WHO, tokens=st.integers(1, 15))
    def call(self, who: int, tokens: int) -> None:
        one = self.processes[who]
        try:
            reservation = self.runner.run(one.budgets.reserve("t", Amount(1, tokens, 0)))
        except BudgetSpent:
            return
        assert reservation is not None
        one.open.append(reservation)
        self.true_tokens += tokens

    @precondition(lambda self: any(one.open for one in self.processes))
    @rule(data=st.data(), share=st.floats(0, 1))
    def answer(self, data: st.DataObject, share: float) -> None:
        one = data.draw(st.sampled_from([one for one in self.processes if one.open]))
        reservation = one.open.pop(data.draw(st.integers(0, len(one.open) - 1)))
        used = int(reservation.amount.tokens * share)

        async def settle() -> None:
            one.budgets.settle(reservation, Amount(1, used, 0))
            await one.budgets.close()

        self.runner.run(settle())
        self.true_tokens += used - reservation.amount.tokens

    @rule(who=WHO)
    def cut(self, who: int) -> None:
        self.processes[who].counters.away = self.ever_away = True

    @rule(who=WHO)
    def mend(self, who: int) -> None:
        self.processes[who].counters.away = False
        self.ticks += 2

    @invariant()
    def the_budget_holds(self) -> None:
        most = LIMIT * (1 + PROCESSES * SHARE) if self.ever_away else LIMIT
        assert self.true_tokens <= most

    @rule()
    def all_mended_the_counters_tell_the_truth(self) -> None:
        self.ticks += 2
        for one in self.processes:
            one.counters.away = False
            self.runner.run(one.budgets.reconcile())
        (known,) = self.shared.days.values() or [Amount()]
        assert known.tokens == self.true_tokens

    def teardown(self) -> None:
        self.runner.close()


TestBudgets = BudgetMachine.TestCase
TestBudgets.settings = settings(max_examples=100, stateful_step_count=40)
