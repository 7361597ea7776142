"""Request ids are taken from callers only when they are harmless."""

import string

from headrace_runtime import context
from hypothesis import given
from hypothesis import strategies as st

SAFE = string.ascii_letters + string.digits + "._-"


@given(st.text(SAFE, min_size=1, max_size=128))
def test_a_well_formed_id_is_kept(candidate: str) -> None:
    assert context.enter_request(candidate) == candidate
    assert (context.REQUEST_ID_KEY, candidate) in context.metadata()


@given(
    st.none()
    | st.just("")
    | st.text(SAFE, min_size=129, max_size=200)
    | st.text(min_size=1).filter(lambda s: not set(s) <= set(SAFE))
)
def test_anything_else_is_replaced(candidate: str | None) -> None:
    made = context.enter_request(candidate)

    assert made != candidate
    assert 1 <= len(made) <= 128
    assert set(made) <= set(SAFE)
