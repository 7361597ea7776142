"""Answers in OpenAI's shapes, each part at its time."""

import json
from dataclasses import replace
from typing import Any

from headrace_simulator import reply
from headrace_simulator.ask import Ask, parse
from headrace_simulator.fate import Fate
from hypothesis import given
from hypothesis import strategies as st

FATE = Fate(fault="", first_token_s=0.5, token_s=0.1, tokens=10, cut_at=0.5, offset=0)


def sent(ask: Ask, fate: Fate, chunk_tokens: int) -> tuple[list[float], list[dict[str, Any]]]:
    parts = list(reply.stream(ask, reply.compose(ask, fate), fate, call_id="1", created=1, chunk_tokens=chunk_tokens))
    text = b"".join(part.data for part in parts).decode()
    assert text.endswith("data: [DONE]\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    return [part.at_s for part in parts], events


@given(tokens=st.integers(1, 60), chunk=st.integers(1, 20), offset=st.integers(0, 65535))
def test_a_stream_says_the_same_as_the_whole_and_ends_with_it(tokens: int, chunk: int, offset: int) -> None:
    ask = Ask(model="m", prompt_tokens=3, stream=True, include_usage=True)
    fate = replace(FATE, tokens=tokens, offset=offset)
    times, events = sent(ask, fate, chunk)
    composed = reply.compose(ask, fate)
    whole = reply.whole(ask, composed, fate, call_id="1", created=1)
    body = json.loads(whole.data)

    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
    assert text == body["choices"][0]["message"]["content"]
    assert (
        events[-1]["usage"]
        == body["usage"]
        == {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}
    )
    assert times == sorted(times)
    assert times[-1] == whole.at_s == 0.5 + (tokens - 1) * 0.1


def test_tokens_come_at_the_pace_that_was_drawn() -> None:
    times, _ = sent(Ask(model="m", prompt_tokens=1), FATE, 4)

    assert [round(at, 6) for at in times] == [0.8, 1.2, 1.4, 1.4]


def test_without_include_usage_no_event_has_usage() -> None:
    _, events = sent(Ask(model="m", prompt_tokens=1), FATE, 4)

    assert not [event for event in events if "usage" in event]


def test_max_tokens_cuts_and_says_so() -> None:
    composed = reply.compose(Ask(model="m", prompt_tokens=1, max_tokens=4), FATE)

    assert (composed.tokens, composed.finish_reason) == (4, "length")


def test_a_prompt_costs_by_its_bytes_and_messages() -> None:
    def tokens(*contents: Any) -> int:
        return parse({"model": "m", "messages": [{"role": "user", "content": one} for one in contents]}).prompt_tokens

    assert tokens("12345678") == 6
    assert tokens("12345678", "") == 10
    assert tokens("水车磨坊") == 7
    assert tokens([{"type": "text", "text": "12345678"}]) >= 6


@given(
    tokens=st.integers(1, 60), chunk=st.integers(1, 20), cut_at=st.floats(0, 1, exclude_max=True), streamed=st.booleans()
)
def test_a_cut_answer_begins_and_never_ends(tokens: int, chunk: int, cut_at: float, streamed: bool) -> None:
    ask = Ask(model="m", prompt_tokens=1)
    fate = replace(FATE, tokens=tokens, cut_at=cut_at, fault="cut")
    composed = reply.compose(ask, fate)
    if streamed:
        parts = [*reply.stream(ask, composed, fate, call_id="1", created=1, chunk_tokens=chunk)]
    else:
        parts = [reply.whole(ask, composed, fate, call_id="1", created=1)]
    cut = b"".join(part.data for part in reply.broken_off(iter(parts), composed, fate))
    complete = b"".join(part.data for part in parts)

    assert cut
    assert complete.startswith(cut)
    assert len(cut) < len(complete)
    assert b"[DONE]" not in cut
