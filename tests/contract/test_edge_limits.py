"""Limits on what a connection may send and hold, on raw sockets."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest
from headrace_edge import metrics

from tests.support import edge_suite
from tests.support.edge_fakes import FakeRun, numbered
from tests.support.edge_suite import Suite, until

HEAD = "POST /api/conversation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def status(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(10):
        return int((await reader.readline()).split()[1])


async def closed(reader: asyncio.StreamReader) -> None:
    """Return when the other side has closed or reset."""
    async with asyncio.timeout(10):
        try:
            while await reader.read(65536):
                continue
        except ConnectionResetError:
            return


async def test_a_body_that_says_it_is_too_large_is_413_and_read_by_nobody() -> None:
    async with edge_suite.suite(max_body_bytes=2000) as edge:
        response = await edge.client.post(
            "/api/conversation", content=b"x" * 9_000_000, headers={"content-type": "application/json"}
        )
        assert response.status_code == 413
        assert response.headers["content-type"] == "application/problem+json"
        assert edge.executor.submits == 0


async def test_a_chunked_body_is_counted_while_it_comes() -> None:
    async with edge_suite.suite(max_body_bytes=2000) as edge:
        async with connection(edge.port) as (reader, writer):
            writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
            chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
            writer.write(chunk * 3)
            assert await status(reader) == 413
        assert edge.executor.submits == 0


async def test_a_body_that_does_not_arrive_is_408() -> None:
    async with edge_suite.suite(body_timeout_s=0.3) as edge, connection(edge.port) as (reader, writer):
        writer.write(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
        assert await status(reader) == 408


async def test_the_rest_of_an_answered_body_must_come_soon() -> None:
    async with (
        edge_suite.suite(body_timeout_s=0.2, header_timeout_s=0.5) as edge,
        connection(edge.port) as (reader, writer),
    ):
        writer.write(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
        assert await status(reader) == 408
        await closed(reader)


async def test_headers_are_bounded_in_size_and_time() -> None:
    async with edge_suite.suite(max_header_bytes=4096, header_timeout_s=0.5) as edge:
        async with connection(edge.port) as (reader, writer):
            writer.write(b"GET /api/health/live HTTP/1.1\r\nX: ")
            for _ in range(64):
                writer.write(b"x" * 1024)
                await asyncio.sleep(0)
            await closed(reader)
        async with connection(edge.port) as (reader, writer):
            writer.write(f"GET /api/tasks HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 5000}\r\n\r\n".encode())
            assert await status(reader) == 431
        async with connection(edge.port) as (reader, writer):
            writer.write(b"GET /api/health/live HTTP/1.1\r\n")
            await closed(reader)
        assert (await edge.client.get("/api/health/live")).status_code == 200


async def test_a_kept_connection_is_not_taken_for_a_silent_one() -> None:
    async with edge_suite.suite(header_timeout_s=0.3) as edge, connection(edge.port) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await status(reader) == 200
            await reader.readuntil(b'{"status":"ok"}')
            await asyncio.sleep(0.6)


async def test_connections_are_bounded() -> None:
    async with edge_suite.suite(max_connections=3) as edge:
        refused = metrics.CONNECTIONS_REFUSED.labels("too_many")
        before = refused._value.get()
        async with connection(edge.port), connection(edge.port), connection(edge.port):
            async with connection(edge.port) as (reader, _):
                await closed(reader)
        assert refused._value.get() == before + 1


async def test_requests_in_work_are_bounded_and_health_is_not() -> None:
    async with edge_suite.suite(max_requests=2) as edge:
        waiting = [asyncio.create_task(edge.client.post("/api/conversation", json={"message": "x"})) for _ in range(2)]
        await until(lambda: edge.executor.waiters == 2)
        refused = await edge.client.get("/api/tasks")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert (await edge.client.get("/api/health/ready")).status_code == 200
        for run in edge.executor.runs.values():
            await run.finish({"reply": "x"})
        assert [(await one).status_code for one in waiting] == [200, 200]


async def test_an_open_stream_is_no_request_in_work() -> None:
    async with edge_suite.suite(max_requests=1) as edge:
        async with edge.client.stream("POST", "/api/conversation/stream", json={"message": "x"}) as response:
            assert response.status_code == 200
            assert (await edge.client.get("/api/tasks")).status_code == 200


async def draining(edge: Suite) -> tuple[FakeRun, "asyncio.Task[str]", "asyncio.Task[httpx.Response]"]:
    async def stream() -> str:
        return (await edge.client.post("/api/conversation/stream", json={"message": "x"})).text

    streaming = asyncio.create_task(stream())
    await until(lambda: edge.executor.watchers == 1)
    (run,) = edge.executor.runs.values()
    waiting = asyncio.create_task(edge.client.get(f"/api/tasks/{run.run.run_id}", params={"wait": 30}))
    await until(lambda: edge.executor.waiters == 1)
    return run, streaming, waiting


async def test_a_drain_ends_streams_cleanly_and_tells_those_who_wait() -> None:
    async with edge_suite.suite(drain_notice_s=0.5) as edge:
        run, streaming, waiting = await draining(edge)
        edge.running.application.drain.announce()
        ready = await edge.client.get("/api/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert (await edge.client.get("/api/tasks")).status_code == 200
        edge.running.application.drain.begin()
        answer = await waiting
        assert answer.status_code == 503
        assert answer.json()["run_id"] == run.run.run_id
        assert (await edge.client.get("/api/tasks")).status_code == 503
        for stream in edge.running.application.streams.opened():
            stream.end("drain")
        assert "id: 1\n" in await streaming
    assert not run.ended


async def test_the_process_drains_on_sigterm_and_a_client_resumes_elsewhere() -> None:
    async with edge_suite.suite() as other:
        environ = {
            **os.environ,
            "HEADRACE_EDGE_LISTEN": "127.0.0.1:0",
            "HEADRACE_EDGE_EXECUTOR_TARGET": other.executor_part.target,
            "HEADRACE_EDGE_RAG_TARGET": other.rag_part.target,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace_edge", env=environ, stderr=asyncio.subprocess.PIPE
        )
        try:
            assert process.stderr is not None
            async with asyncio.timeout(20):
                line = orjson.loads(await process.stderr.readline())
            assert line["event"] == "serving"
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{line['port']}", timeout=20, trust_env=False
            ) as client:
                streaming = asyncio.create_task(client.post("/api/conversation/stream", json={"message": "hello"}))
                await until(lambda: other.executor.watchers == 1)
                (run,) = other.executor.runs.values()
                await run.emit(*numbered(3))
                process.send_signal(signal.SIGTERM)
                text = (await streaming).text
            async with asyncio.timeout(10):
                assert await process.wait() == 0
            assert "hello" not in (await process.stderr.read()).decode()
        finally:
            if process.returncode is None:
                process.kill()
        last = text.rstrip().rsplit("id: ", 1)[1].split("\n")[0]
        await run.finish()
        rest = await other.client.get(f"/api/tasks/{run.run.run_id}/events", headers={"Last-Event-ID": last})
        ids = [int(block.split("\n")[0]) for block in (text + rest.text).split("id: ")[1:]]
        assert ids == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HEADRACE_EDGE_LISTEN", "8080", "HEADRACE_EDGE_LISTEN"),
        ("HEADRACE_EDGE_MAX_STREAMS", "many", "HEADRACE_EDGE_MAX_STREAMS"),
        ("HEADRACE_EDGE_API_KEYS_FILE", "/nowhere/keys.yaml", "HEADRACE_EDGE_API_KEYS_FILE"),
    ],
)
async def test_a_wrong_setting_is_one_line_that_names_it(name: str, value: str, says: str) -> None:
    environ = {**os.environ, "HEADRACE_EDGE_LISTEN": "127.0.0.1:0", name: value}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace_edge", env=environ, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        _, told = await process.communicate()
    assert process.returncode == 2
    assert says in told.decode()
    assert len(told.decode().strip().splitlines()) == 1


async def test_the_description_covers_every_route_with_problems_and_security() -> None:
    async with edge_suite.suite() as edge:
        schema = (await edge.client.get("/openapi.json")).json()
    operations = [(path, one) for path, methods in schema["paths"].items() for one in methods.values()]
    ids = [one["operationId"] for _, one in operations]
    assert len(ids) == len(set(ids)) == 51
    for path, one in operations:
        assert one["summary"]
        assert one["description"]
        content = one["responses"]["default"]["content"]
        if path.startswith("/v1/"):
            assert list(content) == ["application/json"]
        else:
            assert content["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert "422" not in one["responses"]
    assert "apiKey" in schema["components"]["securitySchemes"]
    assert schema["paths"]["/api/health/live"]["get"]["security"] == []
    references = {part.split('"')[0] for part in orjson.dumps(schema).decode().split("#/components/schemas/")[1:]}
    assert references <= set(schema["components"]["schemas"])
