from headrace_llm.cache.lru import Lru
from hypothesis import given
from hypothesis import strategies as st

keys = st.sampled_from("abcdef")
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, st.integers(0, 12), st.integers(-1, 5)),
        st.tuples(st.just("get"), keys, st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.just(0), st.integers(0, 2)),
    ),
    max_size=60,
)


class Oracle:
    """The same in the plainest way: a list from the least to the most recently used."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self.used: list[tuple[str, int, int, float]] = []

    def get(self, key: str, now: float) -> int | None:
        found = next((one for one in self.used if one[0] == key), None)
        if found is None:
            return None
        self.used.remove(found)
        if found[3] <= now:
            return None
        self.used.append(found)
        return found[1]

    def put(self, key: str, value: int, size: int, until: float, now: float) -> None:
        self.used = [one for one in self.used if one[0] != key]
        if size <= self.max_bytes and until > now:
            self.used.append((key, value, size, until))
        while len(self.used) > self.max_entries or sum(one[2] for one in self.used) > self.max_bytes:
            self.used.pop(0)


@given(operations, st.integers(1, 4), st.integers(0, 20))
def test_it_keeps_what_the_plainest_implementation_keeps(
    operations: list[tuple[str, str, int, int]], max_entries: int, max_bytes: int
) -> None:
    now = [100.0]
    lru: Lru[int] = Lru(max_entries=max_entries, max_bytes=max_bytes, clock=lambda: now[0])
    oracle = Oracle(max_entries, max_bytes)
    for at, (operation, key, size, seconds) in enumerate(operations):
        if operation == "put":
            lru.put(key, at, size=size, ttl_s=seconds)
            oracle.put(key, at, size, now[0] + seconds, now[0])
        elif operation == "get":
            assert lru.get(key) == oracle.get(key, now[0])
        else:
            now[0] += seconds
        assert len(lru) == len(oracle.used) <= max_entries
        assert lru.bytes == sum(one[2] for one in oracle.used) <= max_bytes
