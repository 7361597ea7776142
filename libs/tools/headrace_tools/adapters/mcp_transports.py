"""How an MCP server is reached: as a process, over its standard streams, or over HTTP and through the guard."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from headrace_tools.adapters.http_client import no_cookies
from headrace_tools.adapters.network import GuardedBackend, GuardedTransport, Resolve
from headrace_tools.connectors import McpConnector as Settings
from headrace_tools.credentials import Credential
from headrace_tools.limits import Limits

Streams = tuple[Any, Any]

TOO_LARGE = "the answer is larger than the connector's limit"
SILENCE_S = 300.0
"""Longest silence of a stream that a server holds open."""


class Seen:
    """A stream of messages that says when it has ended."""

    def __init__(self, inner: Any, ended: asyncio.Event) -> None:
        self._inner = inner
        self._ended = ended

    async def receive(self) -> Any:
        """The next message."""
        return await self.__anext__()

    async def aclose(self) -> None:
        """Close it."""
        await self._inner.aclose()

    def __aiter__(self) -> "Seen":
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._inner.__anext__()
        except BaseException:
            self._ended.set()
            raise

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)


@asynccontextmanager
async def process(
    settings: Settings, environment: Mapping[str, str], folder: Path, ended: asyncio.Event
) -> AsyncIterator[Streams]:
    """Start the server's process and end it, and what it started, with the block.

    It sees PATH, HOME, the user's names and what `env` names, and no other variable; `ended` is set when it has died.
    """
    assert settings.command is not None
    command, *arguments = settings.command
    parameters = StdioServerParameters(
        command=command,
        args=arguments,
        env={name: environment[variable] for name, variable in settings.env.items()},
        cwd=folder / (settings.cwd or "."),
    )
    async with stdio_client(parameters, sys.stderr) as (read, write):
        yield Seen(read, ended), write


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
    transport = _BoundedTransport(backend, settings.max_response_bytes, limits=limits, context=context)
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
            settings.url, http_client=client, max_sse_event_size=settings.max_response_bytes
        )
        async with connected as streams:
            yield streams


async def _plain(request: httpx2.Request) -> None:
    """No answer is asked for compressed: its size is known before it is read."""
    request.headers["Accept-Encoding"] = "identity"


class _BoundedTransport(GuardedTransport):
    """Bounds answers that are read whole; of a stream of events the protocol's client bounds each."""

    def __init__(self, backend: GuardedBackend, limit: int, *, limits: Limits, context: ssl.SSLContext) -> None:
        super().__init__(backend, limits=limits, context=context)
        self._limit = limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Bounded(response.stream, self._limit)
        return response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limit
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                raise httpx2.StreamError(TOO_LARGE)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
