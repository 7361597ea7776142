from headrace_llm import policy
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.text(max_size=300), max_size=5))
def test_a_token_estimate_grows_with_the_text(texts: list[str]) -> None:
    assert 0 <= policy.estimate_tokens(texts) <= policy.estimate_tokens([*texts, "more"])
    assert policy.estimate_tokens(["中文字"]) == 7
