"""A small OpenAI-compatible HTTP server on loopback that answers from a script and keeps books of what was asked."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request gets."""

    text: str = "all is well"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """Before the first byte."""
    pace_s: float = 0.0
    """Between the pieces of a stream."""
    fault: Literal["", "hang", "cut", "end", "stall"] = ""
    """hang: no byte at all. After half a stream: cut breaks the connection, end closes it in order, stall sends no more."""
    usage: bool = True
    finish_reason: str = "stop"
    error: str = "scripted failure"
    code: str | None = None
    tool_calls: Sequence[tuple[str, str, str]] = ()
    """Each an id, a name and arguments; streamed in pieces after the text."""


@dataclass
class OpenAiServer:
    """`script` is answered in turn, then `worked_out` or `otherwise` for ever."""

    base_url: str
    script: deque[Reply] = field(default_factory=deque)
    otherwise: Reply = field(default_factory=Reply)
    worked_out: Callable[[Mapping[str, Any]], Reply] | None = None
    """Answers from the request instead of `otherwise`."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Bodies, in the order of arrival."""
    arrivals: list[float] = field(default_factory=list)
    """Their times on the loop's clock."""
    keys: list[str] = field(default_factory=list)
    """Their Authorization headers."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has left in the middle of an answer."""

    def will(self, *replies: Reply) -> None:
        """Add to the script."""
        self.script.extend(replies)


@asynccontextmanager
async def openai_server() -> AsyncIterator[OpenAiServer]:
    """A running server."""
    server = OpenAiServer("")
    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await _answer(server, request)

    app.router.add_post("/v1/chat/completions", handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.base_url = f"http://{host}:{port}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


def _next(server: OpenAiServer, body: Mapping[str, Any]) -> Reply:
    if server.script:
        return server.script.popleft()
    return server.otherwise if server.worked_out is None else server.worked_out(body)


async def _answer(server: OpenAiServer, request: web.Request) -> web.StreamResponse:
    body = await request.json()
    server.requests.append(body)
    server.arrivals.append(asyncio.get_running_loop().time())
    server.keys.append(request.headers.get("Authorization", ""))
    reply = _next(server, body)
    try:
        await asyncio.sleep(reply.delay_s)
        if reply.fault == "hang":
            await asyncio.Event().wait()
        if reply.status != 200:
            error = {"error": {"message": reply.error, "type": "scripted", "code": reply.code}}
            return web.json_response(error, status=reply.status, headers=dict(reply.headers))
        if body.get("stream"):
            return await _stream(request, body, reply)
        return web.json_response(_whole(body, reply), headers=dict(reply.headers))
    except (asyncio.CancelledError, ConnectionResetError):
        server.gone.set()
        raise


async def _stream(request: web.Request, body: Mapping[str, Any], reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **reply.headers})
    await response.prepare(request)
    pieces = _pieces(reply.text)
    for at, piece in enumerate(pieces):
        if reply.fault and at >= len(pieces) / 2:
            if reply.fault == "stall":
                await asyncio.Event().wait()
            if reply.fault == "cut" and request.transport is not None:
                request.transport.abort()
            return response
        await _send(response, _chunk(body, delta={"content": piece}))
        await asyncio.sleep(reply.pace_s)
    for index, (call_id, name, arguments) in enumerate(reply.tool_calls):
        begun = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        await _send(response, _chunk(body, delta={"tool_calls": [begun]}))
        for piece in _pieces(arguments):
            await _send(response, _chunk(body, delta={"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
            await asyncio.sleep(reply.pace_s)
    await _send(response, _chunk(body, delta={}, finish_reason=reply.finish_reason))
    if reply.usage and (body.get("stream_options") or {}).get("include_usage"):
        await _send(response, {**_chunk(body), "choices": [], "usage": _usage(body, reply)})
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _send(response: web.StreamResponse, value: Mapping[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(value).encode() + b"\n\n")


def _pieces(text: str) -> Sequence[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def _chunk(
    body: Mapping[str, Any], delta: Mapping[str, Any] | None = None, finish_reason: str | None = None
) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": [choice]}


def _whole(body: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in reply.tool_calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
    return {**whole, "usage": _usage(body, reply)} if reply.usage else whole


def _usage(body: Mapping[str, Any], reply: Reply) -> dict[str, int]:
    prompt = sum(len((message["content"] or "").split()) for message in body["messages"])
    completion = len(reply.text.split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
