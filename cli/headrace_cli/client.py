"""Speaks to the edge over HTTP: plain calls, and event streams that go on where they broke. Prints nothing."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

import httpx
import httpx_sse

from headrace_cli import problems
from headrace_cli.errors import EdgeAway, EdgeProblem

CONNECT_S = 5.0
CALL_S = 60.0
"""Longest wait for the answer of a plain call."""
SILENCE_S = 40.0
"""A stream that is silent for longer than two of the edge's heartbeats is taken for broken."""
RESUME_S = 60.0
"""How long a broken stream is tried again without one new event."""
FIRST_RETRY_S, MAX_RETRY_S = 0.2, 2.0
LAST_EVENTS = frozenset({"RUN_FINISHED", "RUN_ERROR"})

Json = Any


@dataclass(frozen=True, slots=True)
class Event:
    """One AG-UI event with its sequence number within the run."""

    seq: int
    data: Mapping[str, Json]

    @property
    def kind(self) -> str:
        """Its AG-UI type."""
        return str(self.data.get("type", ""))


@dataclass(frozen=True, slots=True)
class Tagged:
    """A resource and the ETag of what it is now, "" for none."""

    value: Json
    etag: str


@dataclass(slots=True)
class _Position:
    """How far a stream has been read."""

    run_id: str = ""
    seq: int = 0
    ended: bool = False
    failures: int = 0
    retry_after_s: float | None = None
    last_error: str = "it ended early"


@dataclass(frozen=True, slots=True)
class _Opening:
    """The request that starts a run."""

    path: str
    body: Mapping[str, Json]
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Its Idempotency-Key: sent again it finds the same run."""


class EdgeClient:
    """One edge. Use it as an async context manager."""

    def __init__(self, url: str, *, api_key: str = "", transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url.rstrip("/")
        timeout = httpx.Timeout(CALL_S, connect=CONNECT_S)
        self._http = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=timeout, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **params: str | int) -> Json:
        """GET a JSON value. Raises `EdgeProblem` or `EdgeAway`."""
        return await self._call("GET", path, params=params)

    async def post(self, path: str, body: Mapping[str, Json]) -> Json:
        """POST a JSON object; the same call is never made twice by a retry. Raises as `get` does."""
        return await self._call("POST", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    async def read(self, path: str) -> Tagged:
        """GET a JSON value with its ETag. Raises as `get` does."""
        return _tagged(await self._request("GET", path))

    async def text(self, path: str, **params: str | int) -> str:
        """GET a text, such as a page's HTML. Raises as `get` does."""
        return (await self._request("GET", path, params=params)).text

    async def put(self, path: str, body: Mapping[str, Json], *, based_on: str) -> Tagged:
        """PUT a JSON object in place of what has the ETag `based_on`: "" for what is to be new, "*" for whatever is there.

        Raises as `get` does; the problem is 412 when it is otherwise.
        """
        headers = {"If-Match": based_on} if based_on else {"If-None-Match": "*"}
        return _tagged(await self._request("PUT", path, json=body, headers=headers))

    async def delete(self, path: str) -> None:
        """DELETE a resource, whatever it is now. Raises as `get` does."""
        await self._request("DELETE", path)

    async def upload(self, path: str, name: str, content: bytes, fields: Mapping[str, str]) -> Json:
        """POST a file as multipart. Raises as `get` does."""
        return await self._call("POST", path, files={"file": (name, content)}, data=dict(fields))

    async def cancel(self, run_id: str) -> None:
        """Ask a run to end; one that has ended is left as it is."""
        try:
            await self._call("DELETE", f"/api/tasks/{run_id}")
        except EdgeProblem as problem:
            if problem.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                raise

    async def start(self, path: str, body: Mapping[str, Json]) -> AsyncGenerator[Event, None]:
        """Start a run by a streaming POST and yield its events, each once, in order, to its last.

        A broken connection is opened again where it broke. Raises `EdgeProblem` when the request is refused, `EdgeAway`
        when the stream cannot be resumed for `RESUME_S`.
        """
        async with aclosing(self._events(_Position(), _Opening(path, body))) as events:
            async for event in events:
                yield event

    async def watch(self, run_id: str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """Yield a run's events after a sequence number, as `start` does."""
        async with aclosing(self._events(_Position(run_id=run_id, seq=after), None)) as events:
            async for event in events:
                yield event

    async def _call(self, method: str, path: str, **options: Any) -> Json:
        response = await self._request(method, path, **options)
        return response.json() if response.content else None

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._away(error) from error
        if response.is_error:
            raise problems.decode(response)
        return response

    async def _events(self, at: _Position, opening: _Opening | None) -> AsyncGenerator[Event, None]:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + RESUME_S
        while True:
            seen = at.seq
            async with aclosing(self._one_connection(at, opening)) as events:
                async for event in events:
                    yield event
            if at.ended:
                return
            if at.seq > seen:
                give_up_at = loop.time() + RESUME_S
            wait_s = at.retry_after_s or min(FIRST_RETRY_S * 2 ** (at.failures - 1), MAX_RETRY_S)
            if loop.time() + wait_s > give_up_at:
                raise EdgeAway(f"the stream broke and could not be resumed: {at.last_error}", hint=self._hint(at))
            await asyncio.sleep(wait_s)

    async def _one_connection(self, at: _Position, opening: _Opening | None) -> AsyncGenerator[Event, None]:
        before = at.seq
        try:
            async with self._connect(at, opening) as source:
                if source.response.is_error:
                    await self._refused(source.response, at, opening)
                    return
                async for message in source.aiter_sse():
                    event = _decode(message)
                    if event is None or event.seq <= at.seq:
                        continue
                    at.seq = event.seq
                    at.run_id = at.run_id or str(event.data.get("runId", ""))
                    at.ended = event.kind in LAST_EVENTS
                    yield event
                    if at.ended:
                        return
        except (httpx.TransportError, httpx_sse.SSEError) as error:
            if isinstance(error, httpx.ConnectError) and at.seq == 0 and at.failures == 0:
                raise self._away(error) from error
            at.last_error = str(error) or type(error).__name__
        at.failures = 1 if at.seq > before else at.failures + 1
        at.retry_after_s = None

    async def _refused(self, response: httpx.Response, at: _Position, opening: _Opening | None) -> None:
        await response.aread()
        error = problems.decode(response)
        resuming = at.seq > 0 or at.failures > 0
        if not (resuming and response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR):
            raise error
        at.last_error, at.retry_after_s = str(error), error.retry_after_s
        at.failures += 1

    @asynccontextmanager
    async def _connect(self, at: _Position, opening: _Opening | None) -> AsyncIterator[httpx_sse.EventSource]:
        timeout = httpx.Timeout(CALL_S, connect=CONNECT_S, read=SILENCE_S)
        if at.run_id:
            path = f"/api/tasks/{at.run_id}/events"
            headers = {"Last-Event-ID": str(at.seq)}
            stream = httpx_sse.aconnect_sse(self._http, "GET", path, headers=headers, timeout=timeout)
        else:
            assert opening is not None
            headers = {"Idempotency-Key": opening.key}
            stream = httpx_sse.aconnect_sse(
                self._http, "POST", opening.path, json=opening.body, headers=headers, timeout=timeout
            )
        async with stream as source:
            yield source

    def _away(self, error: Exception) -> EdgeAway:
        reason = str(error) or type(error).__name__
        return EdgeAway(f"no answer from {self.url}: {reason}", hint="start it with `headrace up`, or set HEADRACE_URL")

    def _hint(self, at: _Position) -> str:
        return f"the run goes on; see it with: curl {self.url}/api/tasks/{at.run_id}" if at.run_id else "try again"


def _tagged(response: httpx.Response) -> Tagged:
    return Tagged(response.json() if response.content else None, response.headers.get("etag", ""))


def _decode(message: httpx_sse.ServerSentEvent) -> Event | None:
    if not message.data or not message.id.isdecimal():
        return None
    try:
        data = json.loads(message.data)
    except ValueError:
        return None
    return Event(int(message.id), data) if isinstance(data, dict) else None
