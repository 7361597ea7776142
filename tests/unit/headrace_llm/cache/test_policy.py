from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from headrace_llm.cache import policy
from headrace_llm.client import ChatRequest, Completion, Message, Priority, ToolCall
from headrace_llm.registry import ModelEntry
from headrace_llm.usage import ModelUsage, Usage
from hypothesis import assume, given
from hypothesis import strategies as st

ENTRY = ModelEntry(id="m", model="openai/m", max_output_tokens=100)

texts = st.text(max_size=8)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, json, max_size=3)
calls = st.builds(ToolCall, id=texts, name=texts, arguments=texts)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=texts,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=texts,
)
requests = st.builds(
    ChatRequest,
    messages=st.lists(messages, min_size=1, max_size=3).map(tuple),
    tenant_id=texts,
    deadline_s=st.floats(1, 60),
    priority=st.sampled_from(Priority),
    max_tokens=st.none() | st.integers(1, 100),
    temperature=st.floats(0, 2),
    schema=st.none() | objects,
    tools=st.lists(objects, max_size=2).map(tuple),
    options=objects,
)
entries = st.builds(
    lambda name, model, base, structured: ENTRY.model_copy(
        update={"id": name, "model": f"openai/{model}", "api_base": base, "structured": structured}
    ),
    name=st.sampled_from("ab"),
    model=st.sampled_from("xy"),
    base=st.sampled_from([None, "http://one", "http://two"]),
    structured=st.sampled_from(["auto", "prompt"]),
)
ASKED = ("messages", "tenant_id", "max_tokens", "temperature", "schema", "tools", "options")


def asked(request: ChatRequest, entry: ModelEntry) -> str:
    """What the key must tell apart, told in another way than the key's."""
    parts: list[Any] = [getattr(request, name) for name in ASKED]
    parts[2] = min(request.max_tokens or 100, 100)
    parts[3] = float(request.temperature)
    return repr([*map(_ordered, parts), entry.id, entry.model, entry.api_base, entry.structured])


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return ("object", sorted((name, repr(_ordered(one))) for name, one in value.items()))
    if isinstance(value, list | tuple):
        return ("list", [_ordered(one) for one in value])
    return value


@given(requests, requests, entries, entries, st.sets(st.sampled_from(ASKED)))
def test_two_requests_have_one_key_exactly_when_they_ask_the_same(
    one: ChatRequest, other: ChatRequest, entry: ModelEntry, other_entry: ModelEntry, same: set[str]
) -> None:
    two = replace(other, **{name: getattr(one, name) for name in same})
    assert (policy.key(one, entry) == policy.key(two, other_entry)) == (asked(one, entry) == asked(two, other_entry))


@given(requests, requests, st.sampled_from(ASKED))
def test_any_field_that_changes_makes_another_key(one: ChatRequest, other: ChatRequest, name: str) -> None:
    two = replace(one, **{name: getattr(other, name)})
    assume(asked(one, ENTRY) != asked(two, ENTRY))
    assert policy.key(one, ENTRY) != policy.key(two, ENTRY)


@given(requests, texts)
def test_tenants_never_share(one: ChatRequest, tenant: str) -> None:
    assume(tenant != one.tenant_id)
    mine, theirs = policy.key(one, ENTRY), policy.key(replace(one, tenant_id=tenant), ENTRY)
    assert mine is not None
    assert theirs is not None
    assert mine.digest != theirs.digest
    assert mine.tenant != theirs.tenant


@given(requests, st.floats(1, 60), st.sampled_from(Priority))
def test_who_asks_when_and_why_makes_no_difference(one: ChatRequest, deadline_s: float, priority: Priority) -> None:
    two = replace(
        one, deadline_s=deadline_s, priority=priority, run_id="r", purpose="p", started_at=1.0, unblocks=3, cache=True
    )
    assert policy.key(one, ENTRY) == policy.key(two, ENTRY)


def ask(**changes: Any) -> ChatRequest:
    return ChatRequest((Message("user", "hello"),), "t", 5.0, **changes)


def test_the_order_and_the_kind_of_mappings_make_no_difference() -> None:
    one = ask(options={"top_p": 1, "stop": ["x"]})
    two = ask(options=MappingProxyType({"stop": ("x",), "top_p": 1}))
    assert policy.key(one, ENTRY) == policy.key(two, ENTRY)


@pytest.mark.parametrize(
    "changes", [{"options": {"x": object()}}, {"tenant_id": "\ud800"}, {"messages": (Message("user", "\ud83d"),)}]
)
def test_what_json_cannot_say_has_no_key(changes: dict[str, Any]) -> None:
    assert policy.key(replace(ask(), **changes), ENTRY) is None


@pytest.mark.parametrize(
    ("changes", "cacheable"),
    [
        ({}, True),
        ({"options": {"seed": 1, "stop": ["x"], "response_format": {"type": "json_object"}}}, True),
        ({"temperature": 0.01}, False),
        ({"temperature": 0.7, "cache": True}, True),
        ({"tools": ({"type": "function"},)}, False),
        ({"tools": ({"type": "function"},), "cache": True}, True),
        ({"options": {"n": 2}}, False),
        ({"options": {"temperature": 1}}, False),
        ({"options": {"web_search_options": {}}}, False),
        ({"cache": False}, False),
    ],
)
def test_only_what_would_be_answered_the_same_again_is_cached_unless_asked(
    changes: dict[str, Any], cacheable: bool
) -> None:
    assert policy.cacheable(ask(**changes)) is cacheable


def done(text: str = "fine", *, model: str = "m", finish: str = "stop", calls: tuple[ToolCall, ...] = ()) -> Completion:
    return Completion(text, model, Usage({model: ModelUsage(1, 0, 5, 2, 0.1)}), finish, calls)


CALL = ToolCall("1", "look", "{}")


@pytest.mark.parametrize(
    ("completion", "cache", "keeps"),
    [
        (done(), None, True),
        (done(finish="length"), None, False),
        (done(finish="content_filter"), True, False),
        (done("", finish="tool_calls", calls=(CALL,)), None, False),
        (done("", finish="tool_calls", calls=(CALL,)), True, True),
        (done(""), None, False),
        (done(model="stand-in"), None, False),
    ],
)
def test_only_whole_answers_of_the_model_that_was_asked_are_kept(
    completion: Completion, cache: bool | None, keeps: bool
) -> None:
    assert policy.keeps(ask(cache=cache), ENTRY, completion) is keeps


def test_a_kept_answer_costs_nothing() -> None:
    again = policy.Kept.of(done(calls=(CALL,))).completion("m")
    assert (again.text, again.finish_reason, again.tool_calls) == ("fine", "stop", (CALL,))
    assert again.usage == Usage({"m": ModelUsage(0, 1, 0, 0, 0.0)})


@given(st.text(max_size=3000))
def test_pieces_are_few_and_whole(text: str) -> None:
    pieces = policy.pieces(text)
    assert "".join(pieces) == text
    assert all(pieces)
    assert len(pieces) <= policy.PIECES
