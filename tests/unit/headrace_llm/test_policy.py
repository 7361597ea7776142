from dataclasses import replace

from headrace_llm import policy
from headrace_llm.client import ChatRequest, Message, ToolCall
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.headrace_llm.fakes import ENTRY, ask


@given(st.lists(st.text(max_size=300), max_size=5))
def test_a_token_estimate_grows_with_the_text(texts: list[str]) -> None:
    assert 0 <= policy.estimate_tokens(texts) <= policy.estimate_tokens([*texts, "more"])
    assert policy.estimate_tokens(["中文字"]) == 7


def test_a_prompt_is_its_messages_their_tool_calls_tools_and_a_schema_in_words() -> None:
    def tokens(request: ChatRequest, **changes: object) -> int:
        return policy.prompt_tokens(request, ENTRY.model_copy(update=changes))

    plain, schema = ask("x" * 40), {"type": "object", "description": "x" * 400}
    assert tokens(plain) == 14
    call = ToolCall("1", "look", "x" * 400)
    assert tokens(replace(plain, messages=[*plain.messages, Message("assistant", "", (call,))])) == 14 + 4 + 105
    assert tokens(replace(plain, tools=[{"function": {"description": "x" * 400}}])) > 110
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    for wordy in (replace(plain, schema=schema), replace(plain, options={"response_format": form})):
        assert tokens(wordy, structured="prompt") > 110
        assert tokens(wordy) > 110
        assert tokens(wordy, structured="schema") == tokens(wordy, api_base="http://localhost:1/v1") == 14
