"""`POST /v1/chat/completions`: OpenAI's protocol for the models behind the gate, and for the whole pipeline."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from headrace_runtime import errors
from starlette.responses import Response

from headrace_edge.bodies import Priority
from headrace_edge.edge import Edge, Parts
from headrace_edge.json_body import GONE, JsonRoute
from headrace_edge.middleware.authentication import Runner
from headrace_edge.openai import chunks, pipeline
from headrace_edge.openai.bodies import PIPELINE, ChatBody
from headrace_edge.openai.chunks import Head
from headrace_edge.openai.model import Answered, AnswerItem, Question
from headrace_edge.routes.parameters import IdempotencyKey
from headrace_edge.sse import EventStream, Source, Timing
from headrace_edge.waiting import ClientGone, attended

router = APIRouter(route_class=JsonRoute, tags=["openai"])

MAX_TIMEOUT_S = 3600

PriorityHeader = Annotated[Priority, Header(alias="X-Headrace-Priority", description="Whose turn it takes at the gate.")]
CacheHeader = Annotated[
    Literal["on", "off"] | None,
    Header(alias="X-Headrace-Cache", description="Absent: a repetition at temperature 0 without tools may be cached."),
]
TimeoutHeader = Annotated[
    float | None,
    Header(alias="X-Headrace-Timeout", ge=1, le=MAX_TIMEOUT_S, description="Seconds until the answer must be whole."),
]

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A chat completion, or its chunks.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "string"}, "example": 'data: {"object":"chat.completion.chunk"}\n\n'},
        },
    },
    "default": {
        "description": 'An error in OpenAI\'s form: `{"error": {"message", "type", "param", "code"}}`.',
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
}


@router.post("/v1/chat/completions", response_class=Response, responses=ANSWERS, summary="Complete a chat")
async def complete_chat(
    body: ChatBody,
    request: Request,
    edge: Parts,
    caller: Runner,
    priority: PriorityHeader = "interactive",
    cache: CacheHeader = None,
    timeout: TimeoutHeader = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Answer as OpenAI's API does, through the gate. A client that leaves aborts the call."""
    timeout_s = timeout or edge.settings.chat_timeout_s
    head = Head(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), body.model)

    async def answer() -> tuple[str, AsyncGenerator[AnswerItem, None]]:
        if body.model == PIPELINE:
            return await pipeline.ask(edge, caller, body, priority=priority, idempotency_key=idempotency_key)
        allowed = None if cache is None else cache == "on"
        question = Question(caller.tenant, body.model, body.for_executor(), priority, timeout_s, allowed)
        if body.may_be_cached(allowed=allowed):
            return "", edge.chats.ask(question)
        return "", await edge.admission.chat(question, edge.chats.ask)

    async def source() -> Source:
        run_id, items = await answer()
        return Source(run_id, chunks.stream(head, items, include_usage=body.include_usage), wait_for_first=True)

    async def whole() -> Answered:
        async with asyncio.timeout(timeout_s + edge.settings.call_timeout_s):
            _, items = await answer()
            return await chunks.whole(items)

    if body.stream:
        return EventStream(
            streams=edge.streams, caller=caller, timing=_timing(edge), open_source=source, dialect=chunks.DIALECT
        )
    try:
        done = await attended(whole(), request.receive)
    except ClientGone:
        return Response(status_code=GONE)
    except TimeoutError as error:
        raise errors.DeadlineExceeded(f"the answer was not whole within {timeout_s:g} s") from error
    assert done is not None
    return Response(chunks.completion(head, done), media_type="application/json")


def _timing(edge: Edge) -> Timing:
    """A stream's headers wait for its first text as long as any silence may last, so that errors have their own status."""
    settings = edge.settings
    beat_s = settings.heartbeat_s
    return Timing(heartbeat_s=beat_s, send_timeout_s=settings.stream_send_timeout_s, open_s=beat_s)
