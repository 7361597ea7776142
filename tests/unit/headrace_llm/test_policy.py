from dataclasses import dataclass

from headrace_llm import policy
from headrace_llm.policy import MINUTE_US, Bucket, Limit
from hypothesis import given
from hypothesis import strategies as st

limits = st.builds(
    Limit.of, rpm=st.none() | st.floats(1, 6000), tpm=st.none() | st.floats(100, 1e6), burst=st.integers(1, 5)
)


@dataclass
class Arrival:
    after_us: int
    tokens: int
    max_wait_us: int


arrivals = st.lists(
    st.builds(
        Arrival,
        after_us=st.integers(0, 3_000_000),
        tokens=st.integers(0, 5000),
        max_wait_us=st.integers(0, 60_000_000),
    ),
    max_size=60,
)


def slots(limit: Limit, calls: list[Arrival]) -> list[tuple[int, int]]:
    """(slot, tokens) of every granted call."""
    bucket, now, granted = Bucket(), 1_000_000_000, []
    for call in calls:
        now += call.after_us
        before = bucket
        bucket, slot = policy.reserve(bucket, limit, tokens=call.tokens, now_us=now, max_wait_us=call.max_wait_us)
        assert slot.granted == (slot.wait_us <= call.max_wait_us)
        if slot.granted:
            granted.append((now + slot.wait_us, call.tokens))
        else:
            assert bucket == before
    return granted


@given(limits, arrivals)
def test_slots_keep_their_order(limit: Limit, calls: list[Arrival]) -> None:
    times = [at for at, _ in slots(limit, calls)]
    assert times == sorted(times)


@given(limits, arrivals)
def test_no_window_holds_more_requests_than_the_quota_and_the_burst(limit: Limit, calls: list[Arrival]) -> None:
    if not limit.request_us:
        return
    times = [at for at, _ in slots(limit, calls)]
    burst = limit.request_burst_us // limit.request_us + 1
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= (times[last] - times[first]) / limit.request_us + burst + 1e-9


@given(limits, arrivals)
def test_tokens_never_run_ahead_by_more_than_one_call(limit: Limit, calls: list[Arrival]) -> None:
    if not limit.tpm:
        return
    granted = slots(limit, calls)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            used = sum(tokens for _, tokens in granted[first:last])
            assert used <= (granted[last][0] - granted[first][0]) * limit.tpm / MINUTE_US + 1


def test_an_idle_quota_is_not_wasted() -> None:
    limit = Limit.of(rpm=60, tpm=None, burst=1)
    calls = [Arrival(0, 0, 60_000_000) for _ in range(61)]
    times = [at - 1_000_000_000 for at, _ in slots(limit, calls)]
    assert times == [second * 1_000_000 for second in range(61)]


@given(limits, arrivals, st.integers(0, 5000))
def test_the_newest_reservation_can_be_undone(limit: Limit, calls: list[Arrival], tokens: int) -> None:
    bucket, now = Bucket(), 1_000_000_000
    for call in calls:
        now += call.after_us
        bucket, _ = policy.reserve(bucket, limit, tokens=call.tokens, now_us=now, max_wait_us=call.max_wait_us)
    after, slot = policy.reserve(bucket, limit, tokens=tokens, now_us=now, max_wait_us=10**12)
    undone = policy.give_back(after, slot)
    again, same = policy.reserve(undone, limit, tokens=tokens, now_us=now, max_wait_us=10**12)
    assert (again, same) == (after, slot)


def test_tokens_that_come_back_let_nobody_overtake() -> None:
    limit = Limit.of(rpm=6000, tpm=60_000, burst=5)
    bucket, _ = policy.reserve(Bucket(), limit, tokens=5000, now_us=0, max_wait_us=0)
    bucket, waiting = policy.reserve(bucket, limit, tokens=100, now_us=0, max_wait_us=10**7)
    bucket = policy.adjust(bucket, token_us=limit.tokens_us(-5000))
    _, later = policy.reserve(bucket, limit, tokens=1, now_us=0, max_wait_us=10**7)
    assert later.wait_us >= waiting.wait_us == 5_000_000


def test_an_older_reservation_gives_only_its_tokens_back() -> None:
    limit = Limit.of(rpm=60, tpm=60_000, burst=1)
    bucket, first = policy.reserve(Bucket(), limit, tokens=1000, now_us=0, max_wait_us=0)
    bucket, second = policy.reserve(bucket, limit, tokens=1000, now_us=0, max_wait_us=10_000_000)
    after = policy.give_back(bucket, first)
    assert after.tokens_us == bucket.tokens_us - 1_000_000
    assert (after.requests_us, after.slot_us, after.turn) == (bucket.requests_us, bucket.slot_us, bucket.turn)
    assert second.wait_us == 1_000_000


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_cool_down_is_never_made_shorter(first: int, second: int) -> None:
    bucket = policy.cool_down(policy.cool_down(Bucket(), now_us=0, for_us=first), now_us=0, for_us=second)
    assert bucket.cool_us == max(first, second)


def test_nobody_passes_during_a_cool_down() -> None:
    bucket = policy.cool_down(Bucket(), now_us=0, for_us=5_000_000)
    _, slot = policy.reserve(bucket, Limit(), tokens=0, now_us=1_000_000, max_wait_us=3_999_999)
    assert not slot.granted
    assert slot.wait_us == 4_000_000


@given(st.floats(1, 1e6), st.floats(0.01, 1))
def test_a_share_is_never_faster_than_the_whole(rpm: float, share: float) -> None:
    whole = Limit.of(rpm=rpm, tpm=rpm * 100, burst=2)
    part = whole.part(share)
    assert part.request_us >= whole.request_us
    assert part.tokens_us(100) >= whole.tokens_us(100)


@given(st.lists(st.text(max_size=300), max_size=5))
def test_a_token_estimate_grows_with_the_text(texts: list[str]) -> None:
    assert 0 <= policy.estimate_tokens(texts) <= policy.estimate_tokens([*texts, "more"])
    assert policy.estimate_tokens(["中文字"]) == 7
