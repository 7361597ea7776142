"""An answer in OpenAI's shapes, and when each part of it is sent. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from headrace_simulator.ask import BYTES_PER_TOKEN, Ask
from headrace_simulator.fate import Fate

_TEXT = (
    "the mill stands where the river bends and its wheel turns as long as the water comes down the race . a gate at the "
    "head lets in no more than the wheel can use , and what waits behind it is not lost : it is turned into flour when its "
    "turn comes ."
)
_WORDS = _TEXT.split()
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said, before it is put into a shape."""

    pieces: tuple[str, ...]
    """One for each token."""
    tool: str
    finish_reason: str

    @property
    def tokens(self) -> int:
        """Of the answer."""
        return len(self.pieces)


@dataclass(frozen=True, slots=True)
class Send:
    """One part of an answer."""

    at_s: float
    """After the call was accepted."""
    data: bytes


def compose(ask: Ask, fate: Fate) -> Reply:
    """What an accepted call is answered."""
    if (text := ask.json if ask.json is not None else ask.text) is not None:
        pieces = [text[at : at + BYTES_PER_TOKEN] for at in range(0, len(text), BYTES_PER_TOKEN)]
        finish = "tool_calls" if ask.tool else "stop"
    else:
        words = (_WORDS[(fate.offset + at) % len(_WORDS)] for at in range(fate.tokens))
        pieces = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
        finish = "stop"
    if ask.max_tokens is not None and len(pieces) > ask.max_tokens:
        pieces, finish = pieces[: ask.max_tokens], "length"
    return Reply(tuple(pieces), ask.tool, finish)


def usage(ask: Ask, reply: Reply) -> dict[str, int]:
    """The numbers that the call is charged."""
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": ask.prompt_tokens + reply.tokens,
    }


def whole(ask: Ask, reply: Reply, fate: Fate, *, call_id: str, created: int) -> Send:
    """The answer in one piece, sent when its last token is there."""
    text = "".join(reply.pieces)
    message: dict[str, Any] = {"role": "assistant", "content": None if reply.tool else text}
    if reply.tool:
        message["tool_calls"] = [_call(call_id, reply.tool, text)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    head = {"id": f"chatcmpl-{call_id}", "object": "chat.completion", "created": created, "model": ask.model}
    return Send(_token_at(fate, reply.tokens), orjson.dumps({**head, "choices": [choice], "usage": usage(ask, reply)}))


def stream(ask: Ask, reply: Reply, fate: Fate, *, call_id: str, created: int, chunk_tokens: int) -> Iterator[Send]:
    """The answer as server-sent events, each with the tokens that are there by then."""
    head = {"id": f"chatcmpl-{call_id}", "object": "chat.completion.chunk", "created": created, "model": ask.model}

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"

    first: dict[str, Any] = {"role": "assistant", "content": None if reply.tool else ""}
    if reply.tool:
        first["tool_calls"] = [{"index": 0, **_call(call_id, reply.tool, "")}]
    opening = event(first)
    for start in range(0, reply.tokens, chunk_tokens):
        part = reply.pieces[start : start + chunk_tokens]
        text = "".join(part)
        delta = {"tool_calls": [{"index": 0, "function": {"arguments": text}}]} if reply.tool else {"content": text}
        yield Send(_token_at(fate, start + len(part)), opening + event(delta))
        opening = b""
    ending = event({}, reply.finish_reason)
    if ask.include_usage:
        ending += b"data: " + orjson.dumps({**head, "choices": [], "usage": usage(ask, reply)}) + b"\n\n"
    yield Send(_token_at(fate, reply.tokens), ending + DONE)


def broken_off(parts: Iterator[Send], reply: Reply, fate: Fate) -> Iterator[Send]:
    """What is sent of a cut answer: the parts that are due by then, never all; of the last one half."""
    until = fate.first_token_s + fate.cut_at * fate.token_s * reply.tokens
    last = next(parts)
    for part in parts:
        yield last
        if part.at_s > until:
            return
        last = part
    yield Send(last.at_s, last.data[: max(1, len(last.data) // 2)])


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{call_id}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _token_at(fate: Fate, count: int) -> float:
    return fate.first_token_s + (count - 1) * fate.token_s
