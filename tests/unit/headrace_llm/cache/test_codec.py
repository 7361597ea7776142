import pytest
from headrace_llm.cache import codec
from headrace_llm.cache.policy import Kept
from headrace_llm.client import ToolCall
from hypothesis import given
from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)
calls = st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple)


@given(texts, st.sampled_from(["stop", "tool_calls"]), calls)
def test_an_answer_comes_back_as_it_was(text: str, finish: str, calls: tuple[ToolCall, ...]) -> None:
    kept = Kept(text, finish, calls)
    assert codec.decode(codec.encode(kept)) == kept


def test_a_long_answer_is_smaller_than_its_text() -> None:
    assert len(codec.encode(Kept("the quick brown fox " * 500))) < 1000


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(data: bytes) -> None:
    try:
        kept = codec.decode(data)
    except ValueError:
        return
    assert codec.decode(codec.encode(kept)) == kept


@pytest.mark.parametrize(
    "data", [b"", b"0", b"0{}", b'0["a"]', b'0[1,"stop",[]]', b'0["a","stop",[[1]]]', b'0["a","stop",7]', b"1junk", b"2[]"]
)
def test_json_of_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an answer of ours"):
        codec.decode(data)


def test_a_text_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        codec.encode(Kept("\ud83d"))
