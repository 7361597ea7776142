"""Chat bodies: whatever comes, a request or a refusal that names its fields."""

from typing import Any

import orjson
import pytest
from headrace_executor import chat_body
from headrace_runtime.errors import InvalidArgument
from hypothesis import given
from hypothesis import strategies as st

LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-3, 3) | st.sampled_from(["text", "function", "x"])
KEYS = st.sampled_from(["role", "content", "type", "text", "function", "name", "schema", "json_schema", "tool_calls", "id"])
JSON = st.recursive(LEAVES, lambda one: st.lists(one, max_size=3) | st.dictionaries(KEYS, one, max_size=3), max_leaves=8)
FIELDS = ("messages", "tools", "tool_choice", "response_format", "stop", "temperature", "max_tokens", "logit_bias", "model")
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "tool", "assistant"])}, optional={"content": JSON})


def attempt(body: Any) -> chat_body.ChatBody | InvalidArgument:
    try:
        return chat_body.read(orjson.dumps(body))
    except InvalidArgument as error:
        return error


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.lists(MESSAGE | JSON, max_size=3))
def test_any_json_is_a_request_or_refused_with_a_place(fields: dict[str, Any], messages: list[Any]) -> None:
    read = attempt({**fields, "messages": messages})
    if isinstance(read, InvalidArgument):
        assert read.violations
        assert all(violation.field.startswith("/") and violation.message for violation in read.violations)
    else:
        assert read.messages
        assert all(isinstance(message.content, str) for message in read.messages)
        assert read.options.keys() <= chat_body.Options.model_fields.keys()


def test_limits_hold() -> None:
    message = {"role": "user", "content": "x"}
    tool = {"type": "function", "function": {"name": "f"}}
    for body in (
        {"messages": [message] * (chat_body.MAX_MESSAGES + 1)},
        {"messages": [message], "tools": [tool] * (chat_body.MAX_TOOLS + 1)},
        {"messages": [{"role": "user", "content": "x" * chat_body.MAX_BODY_BYTES}]},
    ):
        with pytest.raises(InvalidArgument):
            chat_body.read(orjson.dumps(body))


def test_one_stop_is_a_list_of_one() -> None:
    body = chat_body.read(b'{"messages": [{"role": "user", "content": "x"}], "stop": "."}')
    assert body.options == {"stop": ["."]}
