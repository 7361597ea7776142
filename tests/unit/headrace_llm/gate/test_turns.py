from collections import Counter

from headrace_llm.gate.turns import CLASSES, MOST_CREDIT, SHARES, Turns, Waiter, order
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

WEIGHTS = {"a": 1.0, "b": 1.0, "c": 3.0}


def waiter(number: int, *, rank: int = 0, tenant: str = "a", age_us: int = 0, unblocks: int = 0) -> Waiter:
    name = f"p:{number}"
    place = order(age_us=age_us or number, unblocks=unblocks, number=number, id=name)
    return Waiter(name, rank, tenant, WEIGHTS[tenant], place, 0, 10**18)


def served(turns: Turns, most: int) -> list[Waiter]:
    found: list[Waiter] = []
    while len(found) < most and turns:
        one = turns.first()
        turns.granted(one, 100.0)
        found.append(one)
    return found


def test_interactive_goes_first_and_nobody_starves() -> None:
    turns = Turns()
    for number in range(900):
        turns.join(waiter(number, rank=number % 3))
    first = Counter(one.rank for one in served(turns, 300))
    assert first[0] >= 300 * (1 - sum(SHARES)) - 2
    assert first[1] >= 300 * SHARES[1] - 2
    assert first[2] >= 300 * SHARES[2] - 2


def test_what_interactive_leaves_goes_to_standard_before_background() -> None:
    turns = Turns()
    for number in range(400):
        turns.join(waiter(number, rank=1 + number % 2))
    counts = Counter(one.rank for one in served(turns, 100))
    assert 88 <= counts[1] <= 92


def test_tenants_take_turns_whoever_asks_more() -> None:
    turns = Turns()
    for number in range(200):
        turns.join(waiter(number, tenant="a"))
    for number in range(200, 210):
        turns.join(waiter(number, tenant="b"))
    assert Counter(one.tenant for one in served(turns, 20)) == {"a": 10, "b": 10}


def test_a_heavier_tenant_gets_more_turns() -> None:
    turns = Turns()
    for number in range(200):
        turns.join(waiter(number, tenant="ac"[number % 2]))
    counts = Counter(one.tenant for one in served(turns, 80))
    assert 58 <= counts["c"] <= 62


def test_who_was_away_has_saved_up_no_turns() -> None:
    turns = Turns()
    for number in range(100):
        turns.join(waiter(number, tenant="a"))
    served(turns, 50)
    for number in range(100, 150):
        turns.join(waiter(number, tenant="b"))
    assert Counter(one.tenant for one in served(turns, 20)) == {"a": 10, "b": 10}


def test_who_comes_back_at_once_does_not_jump_the_turn() -> None:
    turns = Turns()
    for number in range(50):
        turns.join(waiter(number, tenant="a"))
    counts: Counter[str] = Counter()
    turns.join(waiter(1000, tenant="b"))
    for number in range(1001, 1041):
        (one,) = served(turns, 1)
        counts[one.tenant] += 1
        if one.tenant == "b":
            turns.join(waiter(number, tenant="b"))
    assert counts == {"a": 20, "b": 20}


def test_older_work_first_then_what_unblocks_more() -> None:
    turns = Turns()
    turns.join(waiter(1, age_us=500, unblocks=9))
    turns.join(waiter(2, age_us=100, unblocks=0))
    turns.join(waiter(3, age_us=100, unblocks=5))
    turns.join(waiter(4, age_us=100, unblocks=5))
    assert [one.id for one in served(turns, 4)] == ["p:3", "p:4", "p:2", "p:1"]


class Queue(RuleBasedStateMachine):
    """Any mix of joining, leaving and going: who is forecast to go before whom does, and nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.inside: dict[str, Waiter] = {}
        self.number = 0

    @rule(rank=st.integers(0, CLASSES - 1), tenant=st.sampled_from("abc"), unblocks=st.integers(0, 3))
    def join(self, rank: int, tenant: str, unblocks: int) -> None:
        self.number += 1
        one = waiter(self.number, rank=rank, tenant=tenant, age_us=self.number % 5 + 1, unblocks=unblocks)
        assert self.turns.ahead(rank, tenant, one.weight) <= self.turns.lines[rank].depth
        self.turns.join(one)
        self.inside[one.id] = one

    @rule(data=st.data())
    @precondition(lambda self: self.inside)
    def leave(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.inside)))
        del self.inside[name]
        assert self.turns.leave(name)
        assert not self.turns.leave(name)

    @rule(cost=st.floats(0, 1e6))
    @precondition(lambda self: self.inside)
    def go(self, cost: float) -> None:
        one = self.turns.first()
        assert one is not None
        same = [w for w in self.inside.values() if (w.rank, w.tenant) == (one.rank, one.tenant)]
        assert one == min(same, key=lambda w: w.order)
        owed = any(line.waiting and line.credit >= 1 for line in self.turns.lines)
        assert owed or one.rank == min(w.rank for w in self.inside.values())
        self.turns.granted(one, cost)
        del self.inside[one.id]

    @invariant()
    def all_are_there(self) -> None:
        assert {one.id for one in self.turns} == set(self.inside)
        assert [line.depth for line in self.turns.lines] == [
            sum(one.rank == rank for one in self.inside.values()) for rank in range(CLASSES)
        ]
        assert all(0 <= line.credit <= MOST_CREDIT for line in self.turns.lines)
        assert all(len(line.times) <= 3 for line in self.turns.lines)


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_forecast_counts_the_turns_of_others() -> None:
    turns = Turns()
    for number in range(100):
        turns.join(waiter(number, tenant="a"))
    assert turns.ahead(0, "b", 1.0) == 1
    assert turns.ahead(0, "a", 1.0) == 100
    turns.join(waiter(500, tenant="b"))
    assert turns.ahead(0, "b", 1.0) == 3
    assert turns.ahead(0, "b", 0.5) == 5


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=25),
    st.integers(0, 10),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=15),
)
def test_a_waiting_call_goes_exactly_after_those_that_are_counted_before_it(
    first: list[tuple[str, int]], gone: int, then: list[tuple[str, int]]
) -> None:
    turns = Turns()
    for number, (tenant, age_us) in enumerate(first):
        turns.join(waiter(number, tenant=tenant, age_us=age_us))
    served(turns, gone)
    for number, (tenant, age_us) in enumerate(then, 100):
        turns.join(waiter(number, tenant=tenant, age_us=age_us))
    counted = {one.id: turns.before(one, 100.0) for one in turns}
    assert {one.id: at for at, one in enumerate(served(turns, 100))} == counted


def test_a_forecast_of_very_many_tenants_is_a_bound() -> None:
    turns = Turns()
    for number in range(200):
        name = f"p:{number}"
        turns.join(Waiter(name, 0, f"t{number}", 1.0, order(age_us=1, unblocks=0, number=number, id=name), 0, 10**18))
    assert turns.ahead(0, "new", 1.0) == 200
    assert turns.ahead(0, "t5", 1.0) == 200
    assert {turns.before(one, 100.0) for one in turns} == {199}
