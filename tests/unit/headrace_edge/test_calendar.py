"""What is promised of each second."""

from collections import Counter

import pytest
from headrace_edge.quota.calendar import Calendar
from hypothesis import given
from hypothesis import strategies as st

BOOKINGS = st.lists(st.tuples(st.floats(0, 50), st.floats(0.001, 5)), max_size=60)


@given(st.floats(0.1, 1.0), BOOKINGS)
def test_no_second_is_promised_more_than_its_share(share: float, bookings: list[tuple[float, float]]) -> None:
    calendar, booked = Calendar(share), 0.0
    ends = []
    for start, work in bookings:
        end = calendar.book(start, work, until=1000)
        assert end is not None
        assert end >= start
        booked += work
        ends.append(end)
    # Whatever ends by a time was found in the seconds up to it.
    for end in ends:
        work_by = sum(work for (_, work), one in zip(bookings, ends, strict=True) if one <= end)
        assert work_by <= share * (end + 1) + 1e-6


def test_later_work_does_not_keep_earlier_time_from_others() -> None:
    calendar = Calendar(0.5)
    assert calendar.book(100, 5, until=1000) == pytest.approx(110)
    assert calendar.book(0, 5, until=1000) == pytest.approx(10)
    assert calendar.book(0, 50, until=1000) == pytest.approx(120)


def test_what_does_not_fit_takes_nothing() -> None:
    calendar = Calendar(1.0)
    assert calendar.book(0, 20, until=10) is None
    assert calendar.book(0, 1, until=10) == pytest.approx(1)


def test_the_past_is_forgotten() -> None:
    calendar = Calendar(1.0)
    for _ in range(100):
        calendar.book(0, 1, until=1000)
    calendar.forget(100.5)
    assert Counter(len(one) for one in (calendar._taken, calendar._skip)) == {0: 2}
    assert calendar.book(100.5, 1, until=1000) == pytest.approx(101)
