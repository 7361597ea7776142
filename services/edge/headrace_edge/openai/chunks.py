"""Answers as OpenAI's clients read them: whole, or as the chunks of a stream. Pure but for the items that it reads."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from headrace_runtime import errors

from headrace_edge.model import Usage
from headrace_edge.openai.errors import error_of
from headrace_edge.openai.model import Answered, AnswerItem, Restarted
from headrace_edge.policy import problem_of
from headrace_edge.sse import Dialect

_DONE = b"[DONE]"


def _frame(chunks: Sequence[bytes]) -> bytes:
    return b"".join([b"data: %b\n\n" % chunk for chunk in chunks])


def _farewell(error: errors.ServiceError) -> bytes:
    return _frame([orjson.dumps(error_of(problem_of(error)).document())])


DIALECT = Dialect(_frame, farewell=_farewell)
"""A stream of chunks. Nobody can come back for the rest of one, so a process that is to end lets it end first."""


@dataclass(frozen=True, slots=True)
class Head:
    """What each object of one answer repeats."""

    id: str
    created: int
    """Unix time."""
    model: str
    """As it was asked for."""


def completion(head: Head, done: Answered) -> bytes:
    """A whole answer."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": done.text or (None if done.tool_calls else ""),
        "refusal": None,
    }
    if done.tool_calls:
        message["tool_calls"] = _calls(done)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": done.finish_reason}
    return orjson.dumps(
        {
            "id": head.id,
            "object": "chat.completion",
            "created": head.created,
            "model": done.model or head.model,
            "choices": [choice],
            "usage": _usage(done.usage),
        }
    )


async def whole(items: AsyncGenerator[AnswerItem, None]) -> Answered:
    """The end of an answer, which has all of it."""
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Answered):
                return item
    raise errors.InternalError("the answer has no end")


async def stream(
    head: Head, items: AsyncGenerator[AnswerItem, None], *, include_usage: bool
) -> AsyncGenerator[Sequence[bytes], None]:
    """An answer's chunks, those that belong together in one batch.

    Raises Aborted when the answer begins anew after some of it was sent: the protocol cannot take text back.
    """
    told = {"usage": None} if include_usage else {}
    begun = False
    async with aclosing(items):
        async for item in items:
            opening = () if begun else (_chunk(head, {"role": "assistant", "content": ""}, **told),)
            match item:
                case str():
                    begun = True
                    yield (*opening, _chunk(head, {"content": item}, **told))
                case Restarted():
                    if begun:
                        text = "the model failed in the middle of its answer and began anew; ask again"
                        raise errors.Aborted(text, reason="MODEL_RESTARTED")
                case Answered():
                    yield (*opening, *_last(head, item, told))
                    return
    raise errors.InternalError("the answer has no end")


def _last(head: Head, done: Answered, told: Mapping[str, Any]) -> Sequence[bytes]:
    answered = Head(head.id, head.created, done.model or head.model)
    calls = [{"index": index, **call} for index, call in enumerate(_calls(done))]
    chunks = [_chunk(answered, {"tool_calls": calls}, **told)] if calls else []
    chunks.append(_chunk(answered, {}, done.finish_reason, **told))
    if told:
        chunks.append(_object(answered, choices=[], usage=_usage(done.usage)))
    return (*chunks, _DONE)


def _calls(done: Answered) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
        for one in done.tool_calls
    ]


def _chunk(head: Head, delta: Mapping[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _object(head, choices=[choice], **more)


def _object(head: Head, **more: Any) -> bytes:
    base = {"id": head.id, "object": "chat.completion.chunk", "created": head.created, "model": head.model}
    return orjson.dumps({**base, **more})


def _usage(usage: Usage) -> dict[str, Any]:
    prompt, completion_ = usage.prompt_tokens, usage.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion_, "total_tokens": prompt + completion_}
