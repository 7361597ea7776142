"""Ids that sort by time."""

import uuid
from datetime import UTC, date, datetime, timedelta

from headrace_executor.runs import ids
from hypothesis import given
from hypothesis import strategies as st


def test_an_id_is_a_version_7_uuid_of_today() -> None:
    made = ids.new()
    assert uuid.UUID(made).version == 7
    assert abs(ids.day_of(made) - datetime.now(UTC).date()) <= timedelta(days=1)
    assert ids.parse(made.upper()) == made


def test_ids_sort_in_the_order_that_they_were_made() -> None:
    made = [ids.new() for _ in range(200)]
    assert [one[:15] for one in made] == sorted(one[:15] for one in made)
    assert len(set(made)) == 200


@given(st.dates(date(2020, 1, 1), date(2100, 1, 1)))
def test_a_days_range_begins_at_its_midnight(day: date) -> None:
    first = ids.first_of(day)
    assert ids.day_of(first) == day
    before = str(uuid.UUID(int=uuid.UUID(first).int - 1))
    assert ids.day_of(before) == day - timedelta(days=1)


@given(st.text())
def test_what_is_no_id_is_none(text: str) -> None:
    parsed = ids.parse(text)
    assert parsed is None or uuid.UUID(parsed) == uuid.UUID(text)
