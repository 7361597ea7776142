from headrace_router.recent import Recent
from hypothesis import given
from hypothesis import strategies as st


def test_the_value_not_used_for_longest_goes_first() -> None:
    recent: Recent[int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.find("a") == 1
    recent.put("c", 3)
    assert recent.find("b") is None
    assert (recent.find("a"), recent.find("c")) == (1, 3)


@given(st.lists(st.text(max_size=2)), st.integers(1, 5))
def test_it_never_grows_past_its_capacity_and_knows_the_last_one(keys: list[str], capacity: int) -> None:
    recent: Recent[str] = Recent(capacity)
    for key in keys:
        recent.put(key, key)
        assert recent.find(key) == key
        assert len(recent) <= capacity
