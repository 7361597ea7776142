"""Limits in this process."""

import pytest
from headrace_edge.auth import Caller, Scope
from headrace_edge.limits import KeyWork, Rates, Streams, Work
from headrace_edge.policy import Refused


def caller(name: str = "a", *, per_minute: int = 3, streams: int = 2) -> Caller:
    return Caller(name, "t", frozenset(Scope), per_minute, streams)


class Endable:
    def end(self, cause: str) -> None:
        raise AssertionError(cause)


def test_a_key_has_its_requests_of_a_minute_and_is_told_when_to_come_back() -> None:
    import time

    rates = Rates()
    for _ in range(3):
        rates.admit(caller(), now=time.time())
    with pytest.raises(Refused) as caught:
        rates.admit(caller(), now=time.time())
    assert caught.value.problem.status == 429
    assert 1 <= (caught.value.problem.retry_after_s or 0) <= 61
    rates.admit(caller("b"), now=time.time())


def test_zero_means_no_limit() -> None:
    rates = Rates()
    for _ in range(1000):
        rates.admit(caller(per_minute=0), now=0)


def test_requests_in_work_are_bounded_and_places_come_back() -> None:
    work = Work(2)
    work.enter()
    work.enter()
    with pytest.raises(Refused) as caught:
        work.enter()
    assert caught.value.problem.status == 503
    work.leave()
    work.enter()


def test_streams_are_bounded_per_key_and_in_total() -> None:
    streams = Streams(3)
    with streams.place(caller("a"), Endable()), streams.place(caller("a"), Endable()):
        with pytest.raises(Refused, match="this key"), streams.place(caller("a"), Endable()):
            raise AssertionError
        with streams.place(caller("b"), Endable()):
            with pytest.raises(Refused, match="3 streams"), streams.place(caller("b"), Endable()):
                raise AssertionError
        assert len(streams) == 2
    assert len(streams) == 0
    assert streams.opened() == ()


def test_a_keys_requests_in_work_are_bounded_and_each_place_comes_back_once() -> None:
    work = KeyWork(1)
    leave = work.enter(caller("a"))
    with pytest.raises(Refused, match="this key") as caught:
        work.enter(caller("a"))
    assert caught.value.problem.status == 429
    work.enter(caller("b"))
    leave()
    leave()
    work.enter(caller("a"))
    with pytest.raises(Refused):
        work.enter(caller("a"))
