"""What an MCP server's HTTP answers mean: statuses, redirects, lengths, secrets."""

import asyncio
import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from headrace_tools.errors import ToolFailed
from headrace_tools.ports import Toolbox
from prometheus_client import REGISTRY

from tests.support.mcp_http_server import Scripted, status
from tests.support.tool_servers import QUICK, http_server, toolbox

LONG_S = 60.0
KEY = "s3cr&t-t0ken"


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _opened(folder: Path, server: Scripted, *, limits: Any = QUICK, **settings: Any) -> AsyncIterator[Toolbox]:
    async with http_server(server.serve) as url:
        entry = {"kind": "mcp", "url": f"{url}/mcp", "allow_hosts": ["127.0.0.1"], "timeout_s": 60, **settings}
        async with toolbox(folder, {"connectors": {"h": entry}}, environment={"KEY": KEY}, limits=limits) as opened:
            yield opened


async def _call(opened: Toolbox, tool: str = "read", deadline_s: float = LONG_S) -> Any:
    return await opened.call("t", f"h.{tool}", {}, deadline_s=deadline_s)


async def _fails(opened: Toolbox, tool: str = "read", deadline_s: float = LONG_S) -> ToolFailed:
    with pytest.raises(ToolFailed) as raised:
        await _call(opened, tool, deadline_s)
    return raised.value


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (401, "refused", "401: the credentials are not accepted"),
        (403, "refused", "`auth`"),
        (429, "away", "429: because"),
        (408, "away", "408"),
        (500, "away", "500: because"),
        (503, "away", "503: because"),
        (418, "failed", ""),
    ],
)
async def test_what_a_status_means(tmp_path: Path, code: int, reason: str, said: str) -> None:
    server = Scripted()
    async with _opened(tmp_path, server, retries=0) as opened:
        server.answers["tools/call"] = [status(code)]
        error = await _fails(opened)
        assert (error.reason, server.calls("tools/call")) == (reason, 1)
        assert said in str(error)
        assert await _call(opened) == "read"


async def test_a_protocols_error_within_a_failed_answer_is_told_by_the_status(tmp_path: Path) -> None:
    server = Scripted()
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32603, "message": "overloaded"}})
    async with _opened(tmp_path, server, retries=0) as opened:
        server.answers["tools/call"] = [lambda _: web.Response(status=503, text=body, content_type="application/json")]
        error = await _fails(opened)
    assert error.reason == "away"
    assert "overloaded" in str(error)


@pytest.mark.parametrize(("tool", "calls"), [("read", 3), ("write", 1)])
async def test_a_call_that_does_no_harm_is_made_again(tmp_path: Path, tool: str, calls: int) -> None:
    server = Scripted()
    async with _opened(tmp_path, server) as opened:
        before = REGISTRY.get_sample_value("headrace_tools_retries_total", {"connector": "h"}) or 0
        server.answers["tools/call"] = [status(429), status(503)]
        if tool == "read":
            assert await _call(opened, tool) == "read"
        else:
            assert (await _fails(opened, tool)).reason == "away"
        assert server.calls("tools/call") == calls
        assert (REGISTRY.get_sample_value("headrace_tools_retries_total", {"connector": "h"}) or 0) - before == calls - 1


async def test_a_retry_after_beyond_the_deadline_is_told_and_not_waited_for(tmp_path: Path) -> None:
    server = Scripted()
    async with _opened(tmp_path, server) as opened:
        server.answers["tools/call"] = [status(429, Retry_After="600")]
        error = await _fails(opened)
    assert (error.reason, error.retry_after_s, server.calls("tools/call")) == ("away", 600.0, 1)


async def test_a_server_that_has_too_many_calls_is_not_asked_for_its_tools_as_well(tmp_path: Path) -> None:
    server = Scripted()
    async with _opened(tmp_path, server, retries=0) as opened:
        await _until(lambda: bool(opened.tools("t")))
        listings = server.calls("tools/list")
        for _ in range(5):
            server.answers["tools/call"] = [status(429)]
            await _fails(opened)
        assert await _call(opened) == "read"
        assert (server.calls("tools/list"), server.calls("initialize")) == (listings, 1)


async def test_a_list_that_comes_too_often_for_a_server_does_not_end_the_session(tmp_path: Path) -> None:
    server = Scripted()
    async with _opened(tmp_path, server, limits=dataclasses.replace(QUICK, listing_s=0.01)) as opened:
        await _until(lambda: bool(opened.tools("t")))
        server.answers["tools/list"] = [status(429)] * 3
        await _until(lambda: not server.answers["tools/list"])
        assert await _call(opened) == "read"
        assert server.calls("initialize") == 1


async def test_a_token_that_is_not_accepted_any_more_is_told_as_such(tmp_path: Path) -> None:
    server = Scripted()
    limits = dataclasses.replace(QUICK, reconnect_wait_s=0.2, listing_s=0.01)
    async with _opened(tmp_path, server, limits=limits, auth={"kind": "bearer", "secret": "KEY"}) as opened:
        await _until(lambda: bool(opened.tools("t")))
        for method in ("tools/list", "initialize", "server/discover"):
            server.answers[method] = [status(401)] * 10_000
        await _until(lambda: REGISTRY.get_sample_value("headrace_tools_connected", {"connector": "h"}) == 0)
        await _until(lambda: server.calls("initialize") > 2)
        error = await _fails(opened)
    assert error.reason == "refused"
    assert "auth" in str(error)


async def test_a_session_that_the_server_has_forgotten_is_opened_anew(tmp_path: Path) -> None:
    server = Scripted()

    async def serve(request: web.Request) -> web.StreamResponse:
        response = await server.serve(request)
        if server.heard and server.heard[-1][0] == "initialize":
            response.headers["Mcp-Session-Id"] = "one"
        return response

    async with http_server(serve) as url:
        entry = {"kind": "mcp", "url": f"{url}/mcp", "allow_hosts": ["127.0.0.1"], "timeout_s": 60}
        async with toolbox(tmp_path, {"connectors": {"h": entry}}) as opened:
            await _until(lambda: bool(opened.tools("t")))
            server.answers["tools/call"] = [status(404)]
            server.answers["tools/list"] = [status(404)]
            assert await _call(opened) == "read"
            assert server.calls("initialize") == 2


@pytest.mark.parametrize(
    "auth", [{"kind": "bearer"}, {"kind": "query", "name": "key"}, {"kind": "header", "name": "X-Key"}]
)
async def test_a_secret_is_in_no_error_and_no_log(tmp_path: Path, auth: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = Scripted()
    echoed: list[str] = []

    def echo(request: web.Request) -> web.Response:
        echoed.append(f"{request.raw_path} {request.headers.get('Authorization')} {request.headers.get('X-Key')}")
        return web.Response(status=500, text=echoed[-1])

    limits = dataclasses.replace(QUICK, listing_s=0.01)
    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.INFO):  # as the services set it
        async with _opened(tmp_path, server, limits=limits, retries=0, auth={**auth, "secret": "KEY"}) as opened:
            await _until(lambda: bool(opened.tools("t")))
            server.answers["tools/call"] = [echo]
            error = await _fails(opened)
            server.answers["tools/list"] = [echo]
            await _until(lambda: not server.answers["tools/list"])
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp")]
    assert KEY in echoed[0] or "s3cr%26t-t0ken" in echoed[0]
    for text in (str(error), json.dumps(logs, default=str), *logged):
        assert "s3cr" not in text
    assert "***" in str(error)


@pytest.mark.parametrize(
    "location", ["http://127.0.0.2:{port}/mcp", "http://localhost:{port}/mcp", "http://other.test/mcp"]
)
async def test_a_redirect_to_another_host_is_not_followed(tmp_path: Path, location: str) -> None:
    heard: list[tuple[str, str | None]] = []

    async def serve(request: web.Request) -> web.Response:
        heard.append((request.host.partition(":")[0], request.headers.get("Authorization")))
        return web.Response(status=307, headers={"Location": location.format(port=request.url.port)})

    limits = dataclasses.replace(QUICK, start_timeout_s=0.5)
    async with http_server(serve) as url:
        entry = {"kind": "mcp", "url": url, "allow_hosts": ["127.0.0.1"], "auth": {"kind": "bearer", "secret": "KEY"}}
        async with toolbox(tmp_path, {"connectors": {"h": entry}}, environment={"KEY": KEY}, limits=limits) as opened:
            await _until(lambda: bool(heard))
            assert opened.tools("t") == {}
    assert {host for host, _ in heard} == {"127.0.0.1"}


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_an_answer_that_is_too_long_is_not_read(tmp_path: Path, kind: str) -> None:
    server = Scripted()
    sent = 0

    async def serve(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        if request.method == "POST" and (await request.json())["method"] == "tools/call":
            response = web.StreamResponse(headers={"Content-Type": kind})
            await response.prepare(request)
            await response.write(b"data: " if kind.startswith("text") else b'"')
            try:
                while sent < 256 * 1024 * 1024:
                    await response.write(b"x" * 65_536)
                    sent += 65_536
            except ConnectionError:
                return response
        return await server.serve(request)

    async with http_server(serve) as url:
        entry = {"kind": "mcp", "url": url, "allow_hosts": ["127.0.0.1"], "timeout_s": 60}
        async with toolbox(tmp_path, {"connectors": {"h": entry}}) as opened:
            await _until(lambda: bool(opened.tools("t")))
            assert (await _fails(opened)).reason == "too_large"
            assert sent < 64 * 1024 * 1024
