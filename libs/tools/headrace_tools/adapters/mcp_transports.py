"""How an MCP server is reached: as a process, over its standard streams, or over HTTP and through the guard."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import mcp_types as mcp
import structlog
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from headrace_tools import answers, metrics
from headrace_tools.adapters import mcp_lines
from headrace_tools.adapters.http_client import no_cookies
from headrace_tools.adapters.network import GuardedBackend, GuardedTransport, Resolve
from headrace_tools.connectors import McpConnector as Settings
from headrace_tools.credentials import Credential
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import DEFAULT_RESPONSE_BYTES, MAX_SKIPPED_SHOWN, MAX_TOOLS, Limits

Streams = tuple[Any, Any]

SILENCE_S = 300.0
"""Longest silence of a stream that a server holds open."""
MAX_GARBAGE = 100
"""Lines one after the other that are no messages, before a process is taken for something else."""
MAX_LISTED = MAX_TOOLS + MAX_SKIPPED_SHOWN
"""Tools of one page of a list that are looked at: as many as can be used, and some to say that there are more."""
CUT = "headrace/cut"
"""How many more a page had, in its `_meta`."""
HTTP_FAILED = -31000
"""The code of an error that an HTTP status stands for; the protocol's own begin at -32000."""

_READ = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""What is read of a tool."""
_QUOTED_BYTES = 16 * 1024

log = structlog.get_logger()


class Plain:
    """A server's stream of messages, with lists of tools cut to what is read of them: the models of all else take long."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def receive(self) -> Any:
        """The next message."""
        return await self.__anext__()

    async def aclose(self) -> None:
        """Close it."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        message = await self._inner.__anext__()
        match message:
            case SessionMessage(message=mcp.JSONRPCResponse(result={"tools": list() as tools} as result)):
                result["tools"] = [_plain_tool(tool) for tool in tools[:MAX_LISTED]]
                result["_meta"] = {CUT: max(0, len(tools) - MAX_LISTED)}
        return message

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)


def _plain_tool(tool: Any) -> Any:
    return {name: tool[name] for name in _READ if name in tool} if isinstance(tool, dict) else tool


class Seen(Plain):
    """A process's stream of messages: says when it has ended, and ends it when it is none."""

    def __init__(self, label: str, inner: Any, ended: asyncio.Event) -> None:
        super().__init__(inner)
        self._label = label
        self._ended = ended
        self._garbage = 0

    async def __anext__(self) -> Any:
        try:
            message = await super().__anext__()
            self._judge(message)
        except BaseException:
            self._ended.set()
            raise
        return message

    def _judge(self, message: Any) -> None:
        """Raise StopAsyncIteration when the process does not speak the protocol."""
        if isinstance(message, Exception):
            self._garbage += 1
            if self._garbage == 1:
                log.warning("mcp_server_says_what_is_no_message", connector=self._label)
            if self._garbage < MAX_GARBAGE:
                return
            log.error("mcp_server_does_not_speak_the_protocol", connector=self._label, lines=self._garbage)
            raise StopAsyncIteration
        self._garbage = 0
        match message.message:
            case mcp.JSONRPCError(error=mcp.ErrorData(message=mcp_lines.TOO_LARGE)):
                metrics.OVERSIZED.labels(self._label).inc()
            case mcp.JSONRPCNotification(method=mcp_lines.UNKNOWN):
                metrics.OVERSIZED.labels(self._label).inc()
                log.error("mcp_message_too_large", connector=self._label)
                raise StopAsyncIteration


def message_bytes(settings: Settings) -> int:
    """The longest message, in bytes: a result of `max_response_bytes`, and never so little that no tools can be listed."""
    return max(settings.max_response_bytes, DEFAULT_RESPONSE_BYTES)


@asynccontextmanager
async def process(
    label: str, settings: Settings, variables: Mapping[str, str], folder: Path, ended: asyncio.Event
) -> AsyncIterator[Streams]:
    """Start the server's process and end it, and what it started, with the block.

    It sees PATH, HOME, the user's names and `variables`, and no other; `ended` is set when it has died.
    """
    assert settings.command is not None
    command, *arguments = settings.command
    parameters = StdioServerParameters(
        command=command,
        args=arguments,
        env=dict(variables),
        cwd=folder / (settings.cwd or "."),
        encoding=mcp_lines.encoding(message_bytes(settings)),
    )
    async with stdio_client(parameters, sys.stderr) as (read, write):
        yield Seen(label, read, ended), write


@asynccontextmanager
async def http(
    label: str,
    settings: Settings,
    credential: Credential,
    limits: Limits,
    context: ssl.SSLContext,
    resolve: Resolve,
    _: asyncio.Event,
) -> AsyncIterator[Streams]:
    """Talk to the server's endpoint. Redirects are followed within its origin alone. That it has gone shows in a call."""
    assert settings.url is not None
    backend = GuardedBackend(label, settings.allow_hosts, resolve)
    transport = _JudgedTransport(backend, message_bytes(settings), credential, limits=limits, context=context)
    timeout = httpx2.Timeout(settings.timeout_s, read=SILENCE_S)
    async with httpx2.AsyncClient(
        transport=transport,
        timeout=timeout,
        trust_env=False,
        cookies=no_cookies(),
        headers={"Accept-Encoding": "identity", **credential.headers},
        params=dict(credential.query),
        event_hooks={"request": [_plain]},
    ) as client:
        connected: AbstractAsyncContextManager[Streams] = streamable_http_client(
            settings.url, http_client=client, max_sse_event_size=message_bytes(settings)
        )
        async with connected as (read, write):
            yield Plain(read), write


async def _plain(request: httpx2.Request) -> None:
    """No answer is asked for compressed: its size is known before it is read."""
    request.headers["Accept-Encoding"] = "identity"


class _JudgedTransport(GuardedTransport):
    """Bounds answers that are read whole; of a stream of events the protocol's client bounds each.

    That client keeps the status of a failed call to itself, and hands on the protocol's errors: a status that says whether
    another attempt may succeed becomes such an error.
    """

    def __init__(
        self, backend: GuardedBackend, limit: int, credential: Credential, *, limits: Limits, context: ssl.SSLContext
    ) -> None:
        super().__init__(backend, limits=limits, context=context)
        self._limit = limit
        self._credential = credential

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if request.method == "POST" and answers.tells_why(response.status_code):
            return await self._failed(response)
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Bounded(response.stream, self._limit)
        return response

    async def _failed(self, response: httpx2.Response) -> httpx2.Response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            answer = answers.Answer(response.status_code, headers, await _beginning(response))
        finally:
            await response.aclose()
        try:
            answers.check_status(replace(answer, body=self._credential.hidden(answer.body)), now=datetime.now(UTC))
        except ToolFailed as error:
            data = {"status": answer.status, "reason": error.reason, "retry_after_s": error.retry_after_s}
            failed = {"code": HTTP_FAILED, "message": str(error), "data": data}
            return httpx2.Response(response.status_code, json={"jsonrpc": "2.0", "id": None, "error": failed})
        raise AssertionError("a status that tells why is a failure")


async def _beginning(response: httpx2.Response) -> bytes:
    """What is quoted of an answer that is an error, and a little more: secrets are looked for in it."""
    body = bytearray()
    if "content-encoding" in response.headers and response.headers["content-encoding"] != "identity":
        return b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= _QUOTED_BYTES:
            break
    return bytes(body[:_QUOTED_BYTES])


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left, lists = self._limit, self._limit // mcp_lines.BYTES_PER_LIST
        async for chunk in self._inner:
            left -= len(chunk)
            lists -= chunk.count(b"[")
            if left < 0 or lists < 0:
                raise httpx2.StreamError(mcp_lines.TOO_LARGE)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
