"""A count of sessions is believed for a while, and for a short one when there is no room."""

from headrace_executor.runs import session_counts
from headrace_executor.runs.session_counts import FULL_KEPT_S, KEPT_S, SessionCounts
from hypothesis import given
from hypothesis import strategies as st


def test_a_tenant_is_counted_first_and_then_now_and_then() -> None:
    counts = SessionCounts(limit=10)
    assert counts.due("t", now_s=0)
    counts.counted("t", 3, now_s=0)
    assert not counts.due("t", now_s=KEPT_S - 0.1)
    assert counts.due("t", now_s=KEPT_S)
    assert counts.due("other", now_s=0)


def test_a_tenant_without_room_is_counted_again_soon() -> None:
    counts = SessionCounts(limit=10)
    counts.counted("t", 9, now_s=0)
    counts.opened("t")
    assert counts.room("t") == 0
    assert not counts.due("t", now_s=FULL_KEPT_S - 0.1)
    assert counts.due("t", now_s=FULL_KEPT_S)


def test_only_so_many_tenants_are_remembered() -> None:
    counts = SessionCounts(limit=10)
    for n in range(session_counts.MAX_TENANTS + 1):
        counts.counted(str(n), 1, now_s=n)
    assert counts.due("0", now_s=0)
    assert not counts.due("1", now_s=1)


@given(st.lists(st.sampled_from(["opened", "counted", "elsewhere"]), max_size=50), st.integers(1, 20))
def test_one_process_alone_never_passes_the_limit(acts: list[str], limit: int) -> None:
    """A session is opened only with room; a count sees those of other processes, too."""
    counts, there, others = SessionCounts(limit=limit), 0, 0
    for act in acts:
        if act == "elsewhere":
            others += 1
        elif act == "counted" or counts.due("t", now_s=0):
            counts.counted("t", there + others, now_s=0)
        elif counts.room("t") > 0:
            counts.opened("t")
            there += 1
    assert there <= limit
