"""An Accept header is read without surprises."""

from headrace_edge import negotiation
from hypothesis import given
from hypothesis import strategies as st

TYPES = {"application/json": "json", "text/html": "html", "text/markdown": "markdown"}


@given(st.text(max_size=200))
def test_no_header_is_too_odd(header: str) -> None:
    assert negotiation.wanted(header) in ("json", "html", "markdown")
    assert negotiation.accepts_events(header) in (True, False)


@given(st.dictionaries(st.sampled_from(sorted(TYPES)), st.integers(0, 1000), min_size=1))
def test_the_heaviest_wins_and_a_weight_of_nothing_is_a_no(weights: dict[str, int]) -> None:
    header = ", ".join(f"{kind};q={weight / 1000}" for kind, weight in weights.items())
    found = negotiation.wanted(header)
    heaviest = max(weights.values())
    if heaviest == 0:
        assert found == "json"
    else:
        assert weights[next(kind for kind, name in TYPES.items() if name == found)] == heaviest


def test_events_are_asked_for_by_name() -> None:
    assert negotiation.accepts_events("application/json, text/event-stream")
    assert not negotiation.accepts_events("*/*")
    assert not negotiation.accepts_events("text/event-stream;q=0")
