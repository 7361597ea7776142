"""Servers that tools call, and toolboxes over them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import yaml
from aiohttp import web
from headrace_tools.adapters.network import Resolve, resolve
from headrace_tools.app import open_toolbox
from headrace_tools.limits import Limits
from headrace_tools.model import Json
from headrace_tools.ports import Toolbox

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

QUICK = Limits(
    first_pause_s=0.02, longest_pause_s=0.1, retry_pause_s=0.001, longest_retry_pause_s=0.002, listing_pause_s=0.0
)
"""Pauses that a test does not notice."""

OBJECT: Json = {"type": "object", "properties": {}, "additionalProperties": False}


@asynccontextmanager
async def http_server(handler: Handler, *, port: int = 0) -> AsyncIterator[str]:
    """Serve every path with one handler; yields http://127.0.0.1:PORT."""
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(answers: Sequence[bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answer the n-th connection's request with the n-th bytes and cut it; yields the URL and the requests that came."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[min(len(heard), len(answers)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


@asynccontextmanager
async def toolbox(
    folder: Path,
    file: Json,
    *,
    environment: Mapping[str, str] | None = None,
    limits: Limits = QUICK,
    resolve: Resolve = resolve,
) -> AsyncIterator[Toolbox]:
    """The toolbox of a tools.yaml with this content."""
    path = folder / "tools.yaml"
    await asyncio.to_thread(path.write_text, yaml.safe_dump({"version": 1, **file}))
    async with open_toolbox(path, environment=environment or {}, limits=limits, resolve=resolve) as opened:
        yield opened


def http_connector(url: str, tools: Json, **settings: Json) -> Json:
    """An entry for a server on this machine."""
    return {"kind": "http", "base_url": url, "allow_hosts": ["127.0.0.1"], "tools": tools, **settings}


def tool(path: str = "/", properties: Json = None, required: Sequence[str] = (), **settings: Json) -> Json:
    """A declared endpoint."""
    args = {**OBJECT, "properties": properties or {}, "required": list(required)}
    return {"description": "A tool.", "path": path, "args": args, **settings}
