"""Declared endpoints of a real server: what is sent, what an answer means, what is tried again."""

import asyncio
import base64
import gzip
import json
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import structlog
from aiohttp import web
from headrace_tools import service
from headrace_tools.errors import Reason, ToolFailed
from headrace_tools.limits import Limits
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from tests.support.tool_servers import QUICK, Handler, http_connector, http_server, raw_server, tool, toolbox


async def _echo(request: web.Request) -> web.Response:
    body = await request.json() if request.can_read_body else None
    headers = {name.lower(): value for name, value in request.headers.items()}
    return web.json_response(
        {"method": request.method, "path": request.raw_path, "headers": headers, "body": body},
        headers={"Set-Cookie": "a=b"},
    )


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    async with http_server(_echo) as url:
        yield url


def _answering(*answers: web.Response | int) -> tuple[Handler, list[str]]:
    heard: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.path)
        answer = answers[min(len(heard), len(answers)) - 1]
        return web.Response(status=answer, text="because") if isinstance(answer, int) else answer

    return handler, heard


async def _fails(opened: Any, name: str = "s.t", deadline_s: float = 10, **arguments: Any) -> ToolFailed:
    with pytest.raises(ToolFailed) as raised:
        await opened.call("t", name, arguments, deadline_s=deadline_s)
    return raised.value


def _metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_arguments_become_a_request(tmp_path: Path, echo: str) -> None:
    text = {"type": "string"}
    tools = {
        "grades": tool(
            "/s/{id}/grades", {"id": text, "term": text, "x": text}, ["id"], query=["term"], headers={"X-T": "x"}
        ),
        "add": tool("/s", {"name": text}, method="POST", result="/body"),
    }
    async with toolbox(tmp_path, {"connectors": {"s": http_connector(f"{echo}/api/", tools)}}) as opened:
        got = await opened.call("t", "s.grades", {"id": "a/../b?c#d", "term": "1 2", "x": "y"}, deadline_s=10)
        assert (got["method"], got["path"]) == ("GET", "/api/s/a%2F..%2Fb%3Fc%23d/grades?term=1+2")
        assert got["headers"]["x-t"] == "y"
        assert await opened.call("t", "s.add", {"name": "Ä"}, deadline_s=10) == {"name": "Ä"}


async def test_arguments_are_checked_before_anything_is_sent(tmp_path: Path) -> None:
    handler, heard = _answering(200)
    async with http_server(handler) as url:
        entry = http_connector(url, {"t": tool("/", {"n": {"type": "integer"}}, ["n"])})
        async with toolbox(tmp_path, {"connectors": {"s": entry}}) as opened:
            error = await _fails(opened, n="x", m=1)
            assert error.reason == "invalid"
            assert "$.n" in str(error)
            assert "'m'" in str(error)
    assert heard == []


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"kind": "bearer", "secret": "KEY"}, ("authorization", "Bearer s3cret")),
        ({"kind": "header", "secret": "KEY", "name": "X-Api-Key"}, ("x-api-key", "s3cret")),
        (
            {"kind": "basic", "secret": "KEY", "username": "me"},
            ("authorization", f"Basic {base64.b64encode(b'me:s3cret').decode()}"),
        ),
    ],
)
async def test_a_secret_goes_along(tmp_path: Path, echo: str, auth: Any, header: tuple[str, str]) -> None:
    entry = http_connector(echo, {"t": tool(result=f"/headers/{header[0]}")}, auth=auth)
    async with toolbox(tmp_path, {"connectors": {"s": entry}}, environment={"KEY": "s3cret"}) as opened:
        assert await opened.call("t", "s.t", {}, deadline_s=10) == header[1]


async def test_a_secret_may_be_in_the_query(tmp_path: Path, echo: str) -> None:
    auth = {"kind": "query", "secret": "KEY", "name": "key"}
    entry = http_connector(echo, {"t": tool(properties={"a": {}}, result="/path")}, auth=auth)
    async with toolbox(tmp_path, {"connectors": {"s": entry}}, environment={"KEY": "s&t"}) as opened:
        assert await opened.call("t", "s.t", {"a": 1}, deadline_s=10) == "/?a=1&key=s%26t"


async def test_cookies_are_not_kept(tmp_path: Path, echo: str) -> None:
    async with toolbox(tmp_path, {"connectors": {"s": http_connector(echo, {"t": tool(result="/headers")})}}) as opened:
        await opened.call("one", "s.t", {}, deadline_s=10)
        assert "cookie" not in await opened.call("other", "s.t", {}, deadline_s=10)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (web.json_response([1, {"a": None}]), [1, {"a": None}]),
        (web.Response(body=b'{"a":1}', content_type="application/problem+json"), {"a": 1}),
        (web.Response(text="grün", charset="latin-1"), "grün"),
        (web.Response(text="<p>", content_type="text/html"), "<p>"),
        (web.Response(status=204), None),
    ],
)
async def test_json_and_text_are_results(tmp_path: Path, answer: web.Response, expected: Any) -> None:
    handler, _ = _answering(answer)
    async with (
        http_server(handler) as url,
        toolbox(tmp_path, {"connectors": {"s": http_connector(url, {"t": tool()})}}) as opened,
    ):
        assert await opened.call("t", "s.t", {}, deadline_s=10) == expected


@pytest.mark.parametrize(
    ("answer", "reason", "said"),
    [
        (web.Response(body=b"x", content_type="image/png"), "failed", "image/png"),
        (web.Response(body=b"{", content_type="application/json"), "failed", "JSON"),
        (404, "failed", "404: because"),
        (web.Response(status=422, text="x" * 1000), "failed", "x" * 300),
        (401, "refused", "credentials"),
        (403, "refused", "credentials"),
        (429, "away", "429"),
        (503, "away", "503"),
        (304, "failed", "304"),
    ],
)
async def test_what_a_failure_means(tmp_path: Path, answer: web.Response | int, reason: Reason, said: str) -> None:
    handler, _ = _answering(answer)
    entry = http_connector("", {"t": tool()}, retries=0)
    async with http_server(handler) as url:
        async with toolbox(tmp_path, {"connectors": {"s": {**entry, "base_url": url}}}) as opened:
            error = await _fails(opened)
    assert error.reason == reason
    assert said in str(error)
    assert len(str(error)) < 400


async def test_an_answer_without_what_the_pointer_names_has_no_result(tmp_path: Path, echo: str) -> None:
    async with toolbox(tmp_path, {"connectors": {"s": http_connector(echo, {"t": tool(result="/no/such")})}}) as opened:
        assert "/no/such" in str(await _fails(opened))


async def test_a_secret_that_comes_back_in_an_error_is_hidden(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"what is {request.headers['Authorization']}?")

    async with http_server(handler) as url:
        entry = http_connector(url, {"t": tool()}, auth={"kind": "bearer", "secret": "KEY"})
        async with toolbox(tmp_path, {"connectors": {"s": entry}}, environment={"KEY": "s3cret"}) as opened:
            assert str(await _fails(opened)).endswith("400: what is Bearer ***?")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_a_call_that_does_no_harm_is_made_again(tmp_path: Path, method: str) -> None:
    handler, heard = _answering(503, 429, web.json_response("ok") if method != "HEAD" else web.Response())
    async with http_server(handler) as url:
        async with toolbox(tmp_path, {"connectors": {"again": http_connector(url, {"t": tool(method=method)})}}) as opened:
            assert await opened.call("t", "again.t", {}, deadline_s=10) == ("ok" if method != "HEAD" else None)
    assert len(heard) == 3


@pytest.mark.parametrize(("settings", "requests"), [({}, 1), ({"idempotent": True}, 3)])
async def test_a_post_is_not_unless_the_file_says_so(tmp_path: Path, settings: Any, requests: int) -> None:
    handler, heard = _answering(503)
    async with http_server(handler) as url:
        entry = http_connector(url, {"t": tool(method="POST", **settings)})
        async with toolbox(tmp_path, {"connectors": {"s": entry}}) as opened:
            assert (await _fails(opened)).reason == "away"
    assert len(heard) == requests


@pytest.mark.parametrize(("method", "requests"), [("GET", 3), ("POST", 1)])
async def test_a_connection_that_is_cut(tmp_path: Path, method: str, requests: int) -> None:
    async with raw_server([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"]) as (url, heard):
        before = _metric("headrace_tools_retries_total", connector="cut")
        async with toolbox(tmp_path, {"connectors": {"cut": http_connector(url, {"t": tool(method=method)})}}) as opened:
            assert (await _fails(opened, "cut.t")).reason == "away"
    assert len(heard) == requests
    assert _metric("headrace_tools_retries_total", connector="cut") - before == requests - 1


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for(tmp_path: Path) -> None:
    handler, heard = _answering(web.Response(status=429, headers={"Retry-After": "30"}))
    async with http_server(handler) as url:
        async with toolbox(tmp_path, {"connectors": {"s": http_connector(url, {"t": tool()})}}) as opened:
            error = await _fails(opened, deadline_s=10)
    assert (error.reason, error.retry_after_s, len(heard)) == ("away", 30.0, 1)


async def test_a_server_that_is_not_there_is_away(tmp_path: Path) -> None:
    async with http_server(_echo) as url:
        pass
    async with toolbox(tmp_path, {"connectors": {"s": http_connector(url, {"t": tool()})}}) as opened:
        assert (await _fails(opened)).reason == "away"


async def test_a_call_ends_with_its_deadline_and_with_the_connectors_timeout(tmp_path: Path) -> None:
    gone: asyncio.Queue[None] = asyncio.Queue()

    async def handler(request: web.Request) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            gone.put_nowait(None)
        raise AssertionError

    async with http_server(handler) as url:
        entries = {name: http_connector(url, {"t": tool()}, timeout_s=s) for name, s in (("slow", 60), ("quick", 0.05))}
        async with toolbox(tmp_path, {"connectors": entries}) as opened:
            assert (await _fails(opened, "slow.t", deadline_s=0.05)).reason == "deadline"
            assert (await _fails(opened, "quick.t", deadline_s=60)).reason == "deadline"
            call = asyncio.create_task(opened.call("t", "slow.t", {}, deadline_s=60))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call


async def test_an_answer_is_never_read_beyond_the_limit(tmp_path: Path) -> None:
    sent: list[int] = []
    stopped = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
                sent.append(65_536)
        except ConnectionError:
            stopped.set()
        return response

    async with http_server(handler) as url:
        entry = http_connector(url, {"t": tool()}, max_response_bytes=100_000, timeout_s=60)
        async with toolbox(tmp_path, {"connectors": {"s": entry}}) as opened:
            assert (await _fails(opened, deadline_s=60)).reason == "too_large"
            await stopped.wait()
    # What the sockets' buffers hold is sent as well; an endless answer is not.
    assert sum(sent) < 32 * 1024 * 1024


@pytest.mark.parametrize("header", [b"Content-Length: 1000000", b"Content-Encoding: gzip\r\nContent-Length: 1"])
async def test_an_answer_that_says_that_it_does_not_fit_is_not_read(tmp_path: Path, header: bytes) -> None:
    async with raw_server([b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + header + b"\r\n\r\nx"]) as (url, heard):
        entry = http_connector(url, {"t": tool()}, max_response_bytes=1000)
        async with toolbox(tmp_path, {"connectors": {"s": entry}}) as opened:
            assert (await _fails(opened)).reason in ("too_large", "failed")
    assert len(heard) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_a_small_answer_that_would_unpack_to_much_is_refused(tmp_path: Path, encoding: str) -> None:
    heard: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Accept-Encoding"))
        body = gzip.compress(b" " * 20_000_000)
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        return web.Response(body=body, headers=headers)

    async with http_server(handler) as url:
        entry = http_connector(url, {"t": tool()}, max_response_bytes=100_000)
        async with toolbox(tmp_path, {"connectors": {"s": entry}}) as opened:
            error = await _fails(opened)
    assert (error.reason, heard) == ("failed", ["identity"])
    assert "compressed" in str(error)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b""])
async def test_an_answer_that_drips_ends_with_the_deadline(tmp_path: Path, head: bytes) -> None:
    """Each byte comes in time, all of them never do."""
    dripped, ended = asyncio.Event(), asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            while True:
                writer.write(b"a" if head.endswith(b"\r\n\r\n") else b"A: b\r\n" if head else b"H")
                await writer.drain()
                dripped.set()
                await asyncio.sleep(0.02)
        except ConnectionError:
            ended.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with toolbox(tmp_path, {"connectors": {"s": http_connector(url, {"t": tool()})}}) as opened:
            assert (await _fails(opened, deadline_s=0.5)).reason in ("deadline", "away")
            assert dripped.is_set()
            await ended.wait()


async def test_a_connector_has_thirty_connections_and_keeps_fifteen(tmp_path: Path) -> None:
    limits = Limits()
    opened_now, most, calls, go = 0, 0, 0, asyncio.Event()
    full, idle = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened_now, most, calls
        opened_now += 1
        most = max(most, opened_now)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                calls += 1
                if opened_now == 30:
                    full.set()
                await go.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            opened_now -= 1
            if opened_now <= 15:
                idle.set()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        entry = http_connector(url, {"t": tool()}, timeout_s=60)
        async with toolbox(tmp_path, {"connectors": {"s": entry}}, limits=limits) as opened:
            waiting = [asyncio.create_task(opened.call("t", "s.t", {}, deadline_s=60)) for _ in range(45)]
            await full.wait()
            assert calls == 30
            assert _metric("headrace_tools_waiting", connector="s") == 15
            go.set()
            assert await asyncio.gather(*waiting) == [1] * 45
            await idle.wait()
            assert (most, opened_now) == (30, 15)


@pytest.mark.parametrize(
    "value",
    [
        "../admin",
        "%2e%2e/admin",
        "..%2fadmin",
        "..\\admin",
        "%2e%2e",
        "a/../../admin",
        "a;/../b",
        "x?admin=1",
        "x#y",
    ],
)
async def test_an_argument_stays_in_its_segment_at_the_server(tmp_path: Path, echo: str, value: str) -> None:
    entry = http_connector(echo, {"t": tool("/files/{name}/text", {"name": {"type": "string"}}, ["name"], result="/path")})
    async with toolbox(tmp_path, {"connectors": {"s": entry}}) as opened:
        path = await opened.call("t", "s.t", {"name": value}, deadline_s=10)
    before, name, after = path.split("/")[1:]
    assert (before, unquote(name), after) == ("files", value, "text")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "ä"])
async def test_an_argument_stays_in_its_header(tmp_path: Path, echo: str, value: str) -> None:
    entry = http_connector(echo, {"t": tool("/", {"h": {"type": "string"}}, headers={"X-H": "h"}, result="/headers")})
    async with toolbox(tmp_path, {"connectors": {"s": entry}}) as opened:
        assert (await _fails(opened, h=value)).reason == "invalid"


async def test_an_argument_does_not_stand_in_the_secrets_place(tmp_path: Path, echo: str) -> None:
    """Its schema is open, so that a model may name anything; which of two equal names a server reads is its affair."""
    auth = {"kind": "query", "secret": "KEY", "name": "key"}
    one = {**tool(result="/path"), "args": {"type": "object"}}
    entry = http_connector(echo, {"t": one}, auth=auth)
    async with toolbox(tmp_path, {"connectors": {"s": entry}}, environment={"KEY": "k1"}) as opened:
        error = await _fails(opened, key="mine")
        assert (error.reason, "key is the connector's" in str(error)) == ("invalid", True)
        assert await opened.call("t", "s.t", {"keys": "mine"}, deadline_s=10) == "/?keys=mine&key=k1"


async def test_a_secret_that_a_redirect_brings_back_is_sent_once(tmp_path: Path) -> None:
    handler, heard = _redirecting(["/there?key=k1&a=1"])
    async with http_server(handler) as url:
        entry = http_connector(url, {"t": tool()}, auth={"kind": "query", "secret": "K", "name": "key"})
        async with toolbox(tmp_path, {"connectors": {"s": entry}}, environment={"K": "k1"}) as opened:
            await opened.call("t", "s.t", {}, deadline_s=10)
    assert [path for _, path, _ in heard] == ["/?key=k1", "/there?a=1&key=k1"]


@pytest.mark.parametrize(
    "auth", [{"kind": "bearer"}, {"kind": "query", "name": "key"}, {"kind": "basic", "username": "me"}]
)
async def test_a_secret_is_in_no_error_log_or_span(
    tmp_path: Path, auth: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(service, "tracer", provider.get_tracer("test"))

    async def handler(request: web.Request) -> web.Response:
        said = f"no {request.raw_path} {request.headers.get('Authorization')}"
        return web.Response(status=400, text=said)

    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.DEBUG):
        async with http_server(handler) as url:
            entry = http_connector(url, {"t": tool()}, auth={**auth, "secret": "KEY"})
            file = {"connectors": {"s": entry}}
            async with toolbox(tmp_path, file, environment={"KEY": 's3cr&t"t0ken'}) as opened:
                error = await _fails(opened)
    (span,) = spans.get_finished_spans()
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp")]
    token = base64.b64encode(b'me:s3cr&t"t0ken').decode()
    for text in (str(error), json.dumps(logs, default=str), span.to_json(), *logged):
        assert "s3cr" not in text
        assert token not in text
    assert "***" in str(error)


def _redirecting(to: Sequence[str], status: int = 307) -> tuple[Handler, list[tuple[str, str, Any]]]:
    heard: list[tuple[str, str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append((request.method, request.raw_path, request.headers.get("Authorization")))
        if len(heard) <= len(to):
            return web.Response(status=status, headers={"Location": to[len(heard) - 1]})
        return web.json_response(await request.text())

    return handler, heard


async def test_redirects_are_followed_three_times(tmp_path: Path) -> None:
    for count, outcome in ((3, "ok"), (4, "failed")):
        handler, heard = _redirecting([f"/r{n}" for n in range(count)])
        async with http_server(handler) as url:
            entry = http_connector(
                url, {"t": tool(method="POST", properties={"a": {}})}, auth={"kind": "bearer", "secret": "K"}
            )
            async with toolbox(tmp_path, {"connectors": {"s": entry}}, environment={"K": "key"}) as opened:
                if outcome == "ok":
                    assert await opened.call("t", "s.t", {"a": 1}, deadline_s=10) == '{"a":1}'
                    assert [one[2] for one in heard] == ["Bearer key"] * 4
                else:
                    assert (await _fails(opened)).reason == "failed"


async def test_a_303_is_fetched(tmp_path: Path) -> None:
    handler, heard = _redirecting(["/made/1"], status=303)
    async with http_server(handler) as url:
        async with toolbox(tmp_path, {"connectors": {"s": http_connector(url, {"t": tool(method="POST")})}}) as opened:
            assert await opened.call("t", "s.t", {}, deadline_s=10) == ""
    assert [(method, path) for method, path, _ in heard] == [("POST", "/"), ("GET", "/made/1")]


async def test_credentials_do_not_follow_to_another_host(tmp_path: Path) -> None:
    other, heard = _redirecting([])
    for auth in ({"kind": "bearer", "secret": "K"}, {"kind": "query", "secret": "K", "name": "k"}):
        async with http_server(other) as elsewhere:
            handler, _ = _redirecting([f"{elsewhere}/there"])
            async with http_server(handler) as url:
                entry = http_connector(url, {"t": tool()}, auth=auth)
                async with toolbox(tmp_path, {"connectors": {"s": entry}}, environment={"K": "key"}) as opened:
                    await opened.call("t", "s.t", {}, deadline_s=10)
    assert heard == [("GET", "/there", None)] * 2


async def test_calls_of_a_connector_wait_for_their_turn_within_limits(tmp_path: Path) -> None:
    at_once, most, go = 0, 0, asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await go.wait()
        at_once -= 1
        return web.json_response(1)

    limits = Limits(connections=2, kept_connections=1, waiting=3)
    async with http_server(handler) as url:
        async with toolbox(tmp_path, {"connectors": {"s": http_connector(url, {"t": tool()})}}, limits=limits) as opened:
            calls = [asyncio.create_task(opened.call("t", "s.t", {}, deadline_s=30)) for _ in range(5)]
            while at_once < 2:
                await asyncio.sleep(0)
            late = await _fails(opened)
            go.set()
            assert await asyncio.gather(*calls) == [1] * 5
    assert most == 2
    assert late.reason == "away"
    assert "3 calls are waiting" in str(late)


async def test_waiting_for_a_turn_ends_with_the_deadline(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with http_server(handler) as url:
        entry = http_connector(url, {"t": tool()})
        async with toolbox(tmp_path, {"connectors": {"s": entry}}, limits=Limits(connections=1)) as opened:
            first = asyncio.create_task(opened.call("t", "s.t", {}, deadline_s=30))
            await asyncio.sleep(0)
            assert (await _fails(opened, deadline_s=0.05)).reason == "deadline"
            first.cancel()
            await asyncio.wait({first})


async def test_each_outcome_is_counted(tmp_path: Path, echo: str) -> None:
    def counted(outcome: str) -> float:
        return _metric("headrace_tools_calls_total", connector="counted", outcome=outcome)

    entry = http_connector(echo, {"t": tool(), "none": tool(result="/none")})
    async with toolbox(tmp_path, {"connectors": {"counted": entry}}, limits=QUICK) as opened:
        before = counted("ok"), counted("failed"), counted("invalid")
        await opened.call("t", "counted.t", {}, deadline_s=10)
        await _fails(opened, "counted.none")
        await _fails(opened, "counted.t", x=1)
    assert (counted("ok"), counted("failed"), counted("invalid")) == tuple(one + 1 for one in before)
