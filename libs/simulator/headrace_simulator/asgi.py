"""The provider's HTTP: OpenAI's two paths, and those of whoever tests with it. Plain ASGI: it must cost little."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import orjson
from pydantic import ValidationError

from headrace_simulator import refusals, reply
from headrace_simulator.ask import Ask, BadRequest, parse
from headrace_simulator.books import SERIES_S, Outcome
from headrace_simulator.policy import Refusal
from headrace_simulator.profile import Profile
from headrace_simulator.refusals import Answered, Headers
from headrace_simulator.reply import Send as Part
from headrace_simulator.simulator import Call, Simulator, TooManyAccounts

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_TAG_CHARACTERS = 64
ANONYMOUS = "anonymous"
"""The key of a caller that sends none."""
_JSON = (b"content-type", b"application/json")
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class _Gone(Exception):
    """The client has left."""


class Application:
    """Serves one `Simulator`."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._initial = simulator.profile
        self._routes: dict[tuple[str, str], Callable[[Scope, Receive, Send], Awaitable[None]]] = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("GET", "/v1/models"): self._models,
            ("GET", "/health"): self._health,
            ("GET", "/report"): self._report,
            ("GET", "/control"): self._shown,
            ("PUT", "/control"): self._change,
            ("DELETE", "/control"): self._restore,
            ("POST", "/control/reset"): self._reset,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        with suppress(_Gone):
            route = self._routes.get((scope["method"], scope["path"]))
            if route is not None:
                await route(scope, receive, send)
                return
            known = ", ".join(f"{method} {path}" for method, path in self._routes)
            await _answer(send, refusals.invalid(404, f"no such path; there are {known}", code="not_found"))

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        key = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ").strip() or ANONYMOUS
        tag = headers.get(b"x-simulator-tag", b"").decode("latin-1")[:MAX_TAG_CHARACTERS]
        body = await _body(receive)
        profile = self._simulator.profile
        if profile.keys and key not in profile.keys:
            await _answer(send, refusals.invalid(401, "Incorrect API key provided.", code="invalid_api_key"))
            return
        try:
            ask = parse(orjson.loads(body))
            if profile.models and ask.model not in profile.models:
                message = f"The model {ask.model!r} does not exist; there are {', '.join(profile.models)}."
                await _answer(send, refusals.invalid(404, message, code="model_not_found", parameter="model"))
                return
            outcome = self._simulator.arrive(key, tag, ask)
        except (orjson.JSONDecodeError, BadRequest, TooManyAccounts) as error:
            parameter = error.parameter if isinstance(error, BadRequest) else None
            await _answer(send, refusals.invalid(400, str(error), parameter=parameter))
            return
        nominal, quota = self._simulator.nominal(key, ask.model)
        extra = refusals.rate_headers(quota, self._simulator.now()) if profile.ratelimit_headers else []
        if isinstance(outcome, Refusal):
            await _answer(send, refusals.refused(outcome, ask.model, nominal, profile), extra)
        else:
            await self._play(outcome, ask, profile, extra, receive, send)

    async def _play(self, call: Call, ask: Ask, profile: Profile, extra: Headers, receive: Receive, send: Send) -> None:
        """Answer an accepted call as its fate says, for as long as its client waits."""
        started = asyncio.get_running_loop().time()
        gone = asyncio.ensure_future(receive())
        ended: Outcome = "aborted"
        try:
            if call.fate.fault == "hang":
                await _wait(gone, started + profile.faults.hang_s)
                ended = "hang"
            elif call.fate.fault == "error":
                await _wait(gone, started + call.fate.first_token_s)
                await _answer(send, refusals.failed(profile.faults.error_status), extra)
                ended = "error"
            else:
                ended = await _send_reply(call, ask, profile, extra, gone, started, send)
        finally:
            gone.cancel()
            self._simulator.end(call, ended)

    async def _models(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        names = self._simulator.profile.models or ("simulated",)
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in names]
        await _json(send, {"object": "list", "data": models})

    async def _health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _json(send, {"status": "ok"})

    async def _report(self, scope: Scope, _receive: Receive, send: Send) -> None:
        wanted = parse_qs(scope["query_string"].decode("latin-1")).get("series_s", ["0"])[0]
        if not wanted.isdecimal() or int(wanted) > SERIES_S:
            await _answer(send, refusals.invalid(400, f"series_s must be a number of seconds from 0 to {SERIES_S}"))
            return
        await _json(send, self._simulator.report(int(wanted)))

    async def _shown(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _json(send, self._simulator.profile.model_dump(mode="json", exclude_unset=False))

    async def _change(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            changed = self._simulator.profile.changed(orjson.loads(await _body(receive)))
        except orjson.JSONDecodeError as error:
            await _answer(send, refusals.invalid(400, f"the body is not JSON: {error}"))
            return
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
            await _answer(send, refusals.invalid(400, faults))
            return
        self._simulator.configure(changed)
        await self._shown(scope, receive, send)

    async def _restore(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._simulator.configure(self._initial)
        await self._shown(scope, receive, send)

    async def _reset(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._simulator.reset()
        await self._report({**scope, "query_string": b""}, receive, send)


async def _send_reply(
    call: Call, ask: Ask, profile: Profile, extra: Headers, gone: "asyncio.Future[Message]", started: float, send: Send
) -> Outcome:
    created, call_id = int(time.time()), f"{call.ordinal:08d}"
    if ask.stream:
        chunk = profile.latency.chunk_tokens
        parts = reply.stream(ask, call.reply, call.fate, call_id=call_id, created=created, chunk_tokens=chunk)
        headers = [*_EVENTS, *extra]
    else:
        only = reply.whole(ask, call.reply, call.fate, call_id=call_id, created=created)
        parts, headers = iter((only,)), [_JSON, (b"content-length", str(len(only.data)).encode()), *extra]
    cut = call.fate.fault == "cut"
    sent = False
    for part in _until_cut(parts, call) if cut else parts:
        await _wait(gone, started + part.at_s)
        if not sent:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            sent = True
        await send({"type": "http.response.body", "body": part.data, "more_body": ask.stream or cut})
    if cut:
        return "cut"  # an answer that is never completed makes the server close the connection
    if ask.stream:
        await send({"type": "http.response.body"})
    return "completed"


def _until_cut(parts: Iterator[Part], call: Call) -> Iterator[Part]:
    """What is sent of a cut answer: at least its first byte, never its last."""
    last = next(parts)
    until = last.at_s + call.fate.cut_at * call.fate.token_s * call.reply.tokens
    for part in parts:
        yield last
        last = part
        if part.at_s > until:
            return
    if last.at_s <= until or not call.reply.tokens:
        yield Part(last.at_s, last.data[: max(1, len(last.data) // 2)])


async def _wait(gone: "asyncio.Future[Message]", until: float) -> None:
    """Raises `_Gone` when the client leaves before."""
    left = until - asyncio.get_running_loop().time()
    if left > 0:
        await asyncio.wait((gone,), timeout=left)
    if gone.done():
        raise _Gone


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= MAX_BODY_BYTES else b""


async def _json(send: Send, value: object) -> None:
    await _answer(send, Answered(200, [], orjson.dumps(value, option=orjson.OPT_INDENT_2)))


async def _answer(send: Send, answered: Answered, extra: Headers | None = None) -> None:
    headers = [_JSON, (b"content-length", str(len(answered.body)).encode()), *answered.headers, *(extra or ())]
    await send({"type": "http.response.start", "status": answered.status, "headers": headers})
    await send({"type": "http.response.body", "body": answered.body})
