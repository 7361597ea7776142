"""The book of promises: never more than there is, each kept once, bounded."""

import math
from dataclasses import replace

import pytest
from headrace_edge.quota.promises import EARLY_S, TAKEN, Book, BookLimits, Claim, Promise
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

LIMITS = BookLimits(promises=50, per_tenant=30, max_s=600, grace_s=20, share=0.8)


def book_one(book: Book, claim: Claim, *, now: float = 0.0, calls: float = 2.0, rpm: float = 60.0) -> Promise:
    made = book.promise(claim, model="m", calls=calls, rpm=rpm, not_before_s=0, now=now)
    assert made is not None
    return made


@given(
    st.integers(1, 3),
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0.05, 10), st.floats(0, 20)), min_size=1, max_size=60),
)
def test_no_more_is_promised_for_any_time_than_the_promised_share_can_serve(
    tenants: int, rpm: float, steps: list[tuple[float, float, float]]
) -> None:
    book, now = Book(replace(LIMITS, tenants=tenants)), 0.0
    made: list[tuple[float, float]] = []
    for number, (later, calls, not_before) in enumerate(steps):
        now += later
        promise = book.promise(
            Claim(f"t{number % tenants}", str(number)), model="m", calls=calls, rpm=rpm, not_before_s=not_before, now=now
        )
        if promise is not None:
            made.append((promise.due, calls))
    most = max((calls for _, calls in made), default=0.0)
    for since, _ in made:
        for until, _ in made:
            if since <= until:
                promised = sum(calls for due, calls in made if since <= due <= until)
                # Times are rounded up to whole seconds, seconds are given whole, each tenant's part has its own last run.
                assert promised <= rpm / 60 * LIMITS.share * (until - since + 2) + most * tenants + 1e-6


def test_a_promise_is_a_whole_number_of_seconds_away_and_at_least_one() -> None:
    book = Book(LIMITS)
    for number in range(20):
        wait_s = book_one(book, Claim("t", str(number)), now=0.25).due - 0.25
        assert wait_s >= 1
        assert math.isclose(wait_s, round(wait_s))


def test_a_promise_is_consumed_once_and_by_its_claim_alone() -> None:
    book = Book(LIMITS)
    due = book_one(book, Claim("t", "a")).due

    assert book.consume(Claim("t", "b"), now=due) is None
    assert book.consume(Claim("u", "a"), now=due) is None
    assert book.consume(Claim("t", "a"), now=due) is not None
    assert book.consume(Claim("t", "a"), now=due) is None
    assert len(book) == 0


def test_who_comes_too_early_finds_nothing_and_keeps_the_promise() -> None:
    book = Book(LIMITS)
    claim = Claim("t", "a")
    due = book_one(book, claim, calls=20).due

    assert book.consume(claim, now=due - EARLY_S - 0.1) is None
    assert book_one(book, claim, now=due - 5).due == due
    assert len(book) == 1
    assert book.consume(claim, now=due) is not None


def test_a_promise_that_nobody_comes_for_is_dropped_after_its_grace() -> None:
    book = Book(LIMITS)
    claim = Claim("t", "a")
    due = book_one(book, claim).due

    assert book.expire(due + LIMITS.grace_s) == 0
    assert book.expire(due + LIMITS.grace_s + 0.1) == 1
    assert book.consume(claim, now=due + LIMITS.grace_s + 0.1) is None
    assert book.next_s(due) is None


def test_callers_that_look_the_same_have_several_promises_at_different_times() -> None:
    book = Book(LIMITS)
    claim = Claim("t", "same", most=3)
    dues = [book_one(book, claim, calls=4).due for _ in range(5)]

    assert len(set(dues[:3])) == 3
    assert dues[3:] == [dues[0], dues[0]]
    assert [one.due for one in (book.consume(claim, now=dues[2]) for _ in range(3)) if one] == dues[:3]


@pytest.mark.parametrize(
    ("limits", "tenants"),
    [(BookLimits(promises=7), 7), (BookLimits(per_tenant=7), 1), (BookLimits(max_s=20, share=0.7), 3)],
)
def test_past_its_bounds_the_book_promises_nothing(limits: BookLimits, tenants: int) -> None:
    book = Book(limits)
    made = [
        book.promise(Claim(f"t{n % tenants}", str(n)), model="m", calls=2, rpm=60, not_before_s=0, now=0)
        for n in range(100)
    ]

    assert [one is not None for one in made] == [True] * 7 + [False] * 93
    assert len(book) == 7


def test_what_was_consumed_for_nothing_is_put_back() -> None:
    book = Book(LIMITS)
    claim = Claim("t", "a")
    taken = book.consume(claim, now=book_one(book, claim).due)
    assert taken is not None
    book.restore(taken, now=taken.due + 1)
    book.restore(taken, now=taken.due + 1)

    assert len(book) == 1
    assert book.consume(claim, now=taken.due + 2) is taken


def test_of_several_tenants_one_that_asks_for_everything_leaves_room_for_another() -> None:
    book = Book(BookLimits(tenants=2))
    greedy = [book_one(book, Claim("greedy", str(n))).due for n in range(200)]
    modest = [book_one(book, Claim("modest", str(n))).due for n in range(20)]

    assert greedy[19] == pytest.approx(20 * 2 / 0.8 * 2, abs=1)
    assert modest[0] <= 8
    assert modest[19] <= 20 * 2 / 0.8 * 3 + 1


def test_a_tenant_that_is_alone_may_take_all_that_is_promised() -> None:
    book = Book(BookLimits(tenants=1))
    assert [book_one(book, Claim("t", str(n))).due for n in range(4)] == [3, 5, 8, 10]


def test_each_model_has_its_own_capacity() -> None:
    book = Book(LIMITS)
    first = book.promise(Claim("t", "a"), model="m", calls=100, rpm=60, not_before_s=0, now=0)
    other = book.promise(Claim("t", "b"), model="n", calls=1, rpm=60, not_before_s=0, now=0)
    assert first is not None
    assert other is not None
    assert other.due < first.due


def test_the_earliest_promise_is_told_and_dropped_first_whichever_was_made_first() -> None:
    book = Book(LIMITS)
    late = book.promise(Claim("t", "a"), model="m", calls=1, rpm=60, not_before_s=300, now=0)
    early = book.promise(Claim("t", "b"), model="n", calls=1, rpm=60, not_before_s=0, now=0)
    assert late is not None
    assert early is not None
    assert early.due < late.due
    assert book.next_s(0) == early.due
    assert book.expire(early.due + LIMITS.grace_s + 1) == 1
    assert book.next_s(early.due) == late.due - early.due


def test_promises_that_were_kept_take_no_place_until_an_earlier_one_is_dropped() -> None:
    book = Book(BookLimits())
    book_one(book, Claim("t", "waits"))
    for number in range(2000):
        due = book_one(book, Claim("t", str(number)), rpm=60_000, now=0).due
        taken = book.consume(Claim("t", str(number)), now=due)
        assert taken is not None
        if number % 2:
            book.restore(taken, now=due)
            assert book.consume(Claim("t", str(number)), now=due) is taken
    assert len(book) == 1
    assert len(book._by_due) <= 2 * len(book) + TAKEN


class Books(RuleBasedStateMachine):
    """Any order of promising, consuming, restoring and waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book(LIMITS)
        self.now = 0.0
        self.open: list[Promise] = []
        self.taken: list[Promise] = []

    @rule(tenant=st.integers(0, 2), identity=st.integers(0, 30), most=st.integers(1, 3), calls=st.floats(0.1, 20))
    def promise(self, tenant: int, identity: int, most: int, calls: float) -> None:
        claim = Claim(f"t{tenant}", str(identity), most)
        made = self.book.promise(claim, model="m", calls=calls, rpm=60, not_before_s=0, now=self.now)
        if made is not None and made not in self.open:
            assert 1 <= made.due - self.now <= LIMITS.max_s + 1e-6
            self.open.append(made)

    @rule(pick=st.integers(0, 1000))
    def consume(self, pick: int) -> None:
        if self.open:
            claim = self.open[pick % len(self.open)].claim
            taken = self.book.consume(claim, now=self.now)
            if taken is not None:
                assert taken.due - EARLY_S <= self.now <= taken.due + LIMITS.grace_s
                self.open.remove(taken)
                self.taken.append(taken)

    @rule()
    def restore(self) -> None:
        if self.taken:
            back = self.taken.pop()
            self.book.restore(back, now=self.now)
            if back.open:
                self.open.append(back)

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.book.expire(self.now)
        self.open = [one for one in self.open if one.open]

    @invariant()
    def tells_the_first_time(self) -> None:
        due = [one.due for one in self.open if one.open]
        said = self.book.next_s(self.now)
        assert said == (max(0.0, min(due) - self.now) if due else None)
        assert len(self.book._by_due) <= 2 * len(self.book) + TAKEN

    @invariant()
    def is_bounded_and_counts_right(self) -> None:
        assert len(self.book) == sum(one.open for one in self.open) <= LIMITS.promises
        assert all(len([o for o in self.open if o.claim.tenant == f"t{n}"]) <= LIMITS.per_tenant for n in range(3))


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=40, stateful_step_count=40)
