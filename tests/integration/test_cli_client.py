"""The client of the edge over a real socket: a stream that breaks anywhere goes on where it broke."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_cli import client as client_module
from headrace_cli.client import EdgeClient, Event
from headrace_cli.errors import EdgeAway, EdgeProblem

EVENTS: list[dict[str, Any]] = [
    {"type": "RUN_STARTED", "threadId": "s", "runId": "run-1"},
    *({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": f"{n}"} for n in range(8)),
    {"type": "RUN_FINISHED", "threadId": "s", "runId": "run-1", "result": {}, "outcome": {"type": "success"}},
]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]


Answer = Callable[[Request, int], "Reply"]


@dataclass
class Reply:
    """What the server does: events `after` … `until`, then it cuts the connection; or a problem."""

    after: int = 0
    until: int = len(EVENTS)
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Cut inside the bytes of the next event."""
    hold: bool = False
    """Stay silent with the connection open."""


@dataclass
class Edge:
    """A few lines of HTTP that break connections on purpose."""

    answer: Answer
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._one(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head[1:] if line)}
        await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, path, headers)
        self.requests.append(request)
        await self._reply(writer, self.answer(request, len(self.requests)))

    async def _reply(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        kind = "text/event-stream" if reply.status == 200 else "application/problem+json"
        lines = [f"HTTP/1.1 {reply.status} X", f"content-type: {kind}", "connection: close"]
        lines += [f"{key}: {value}" for key, value in reply.headers.items()]
        if reply.status != 200:
            lines.append(f"content-length: {len(reply.body)}")
        else:
            lines.append("transfer-encoding: chunked")  # so that a cut connection is seen as such
        writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
        if reply.status == 200:
            _chunk(writer, b"retry: 2000\n\n: hello\n\n")
            for seq in range(reply.after + 1, reply.until + 1):
                _chunk(writer, f"id: {seq}\ndata: {json.dumps(EVENTS[seq - 1])}\n\n".encode())
            if reply.cut:
                _chunk(writer, f"id: {reply.until + 1}\ndata: {{".encode())
            elif reply.until == len(EVENTS):
                writer.write(b"0\r\n\r\n")
        await writer.drain()
        if reply.hold:
            await asyncio.Event().wait()


def _chunk(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")


@asynccontextmanager
async def _edge(answer: Answer) -> AsyncIterator[Edge]:
    edge = Edge(answer)
    server = await asyncio.start_server(edge.serve, "127.0.0.1", 0)
    edge.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield edge
    finally:
        server.close()
        for task in edge.tasks:
            task.cancel()
        await asyncio.gather(*edge.tasks, return_exceptions=True)


async def _start(edge: Edge) -> list[Event]:
    async with EdgeClient(edge.url) as client:
        return [event async for event in client.start("/api/conversation/stream", {"message": "hi"})]


def _whole(events: list[Event]) -> bool:
    return [event.seq for event in events] == list(range(1, len(EVENTS) + 1)) and [dict(e.data) for e in events] == EVENTS


async def test_an_unbroken_stream_is_one_request() -> None:
    async with _edge(lambda _, __: Reply()) as edge:
        events = await _start(edge)

    assert _whole(events)
    assert [request.method for request in edge.requests] == ["POST"]


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("until", range(1, len(EVENTS)))
async def test_a_stream_cut_after_any_event_goes_on_after_it(until: int, cut: bool) -> None:
    def answer(request: Request, _: int) -> Reply:
        if request.method == "POST":
            return Reply(until=until, cut=cut)
        return Reply(after=int(request.headers["last-event-id"]))

    async with _edge(answer) as edge:
        events = await _start(edge)

    assert _whole(events)
    assert edge.requests[1].path == "/api/tasks/run-1/events"
    assert edge.requests[1].headers["last-event-id"] == str(until)


async def test_an_edge_that_sends_events_again_has_them_seen_once() -> None:
    async with _edge(lambda request, _: Reply(until=4) if request.method == "POST" else Reply(after=2)) as edge:
        events = await _start(edge)

    assert _whole(events)


async def test_a_stream_cut_before_its_first_event_is_asked_for_under_the_same_key() -> None:
    async with _edge(lambda _, n: Reply(until=0) if n == 1 else Reply()) as edge:
        events = await _start(edge)

    assert _whole(events)
    keys = {request.headers["idempotency-key"] for request in edge.requests}
    assert len(edge.requests) == 2
    assert len(keys) == 1


async def test_an_edge_that_restarts_is_tried_again_while_it_says_503() -> None:
    def answer(request: Request, n: int) -> Reply:
        if request.method == "POST":
            return Reply(until=3)
        if n < 4:
            return Reply(status=503, body=b'{"title": "starting"}', headers={"retry-after": "0"})
        return Reply(after=int(request.headers["last-event-id"]))

    async with _edge(answer) as edge:
        events = await _start(edge)

    assert _whole(events)
    assert len(edge.requests) == 4


async def test_a_silent_stream_counts_as_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_S", 0.2)

    def answer(request: Request, _: int) -> Reply:
        if request.method == "POST":
            return Reply(until=3, hold=True)
        return Reply(after=int(request.headers["last-event-id"]))

    async with _edge(answer) as edge:
        events = await _start(edge)

    assert _whole(events)


async def test_a_refused_request_is_its_problem_and_is_not_sent_again() -> None:
    body = json.dumps({"title": "Too many requests", "detail": "120 runs wait"}).encode()
    async with _edge(lambda _, __: Reply(status=429, body=body, headers={"retry-after": "9"})) as edge:
        with pytest.raises(EdgeProblem, match="Too many requests: 120 runs wait") as caught:
            await _start(edge)

    assert caught.value.retry_after_s == 9
    assert len(edge.requests) == 1


async def test_a_run_that_is_gone_ends_the_resuming() -> None:
    gone = b'{"title": "Gone", "detail": "its events are no longer kept"}'
    async with _edge(
        lambda request, _: Reply(until=2) if request.method == "POST" else Reply(status=410, body=gone)
    ) as edge:
        with pytest.raises(EdgeProblem, match="Gone"):
            await _start(edge)


async def test_a_stream_that_never_comes_back_is_given_up_with_the_way_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "RESUME_S", 0.5)
    async with _edge(lambda _, __: Reply(until=2)) as edge:
        with pytest.raises(EdgeAway, match="could not be resumed") as caught:
            await _start(edge)

    assert "run-1" in caught.value.hint


async def test_nobody_at_the_url_is_one_line_and_what_to_do() -> None:
    async with _edge(lambda _, __: Reply()) as edge:
        pass
    with pytest.raises(EdgeAway, match="no answer from") as caught:
        await _start(edge)
    assert "headrace up" in caught.value.hint


async def test_the_key_is_sent_as_a_bearer_token() -> None:
    async with _edge(lambda _, __: Reply()) as edge, EdgeClient(edge.url, api_key="secret") as client:
        assert [event.seq async for event in client.watch("run-1", after=0)][-1] == len(EVENTS)

    assert edge.requests[0].headers["authorization"] == "Bearer secret"
