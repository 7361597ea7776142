"""Reads JSON bodies for FastAPI: bounded in time and depth, parsed by orjson, refused with the right status."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from headrace_edge.policy import Fault, Problem, Refused

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json\s*(?:;|$)", re.IGNORECASE)
GONE = 499
"""Status in logs and metrics of a request whose client left; nobody reads it."""


class _ParsedRequest(Request):
    """A request whose JSON is already parsed."""

    parsed: Any = None

    async def json(self) -> Any:
        """What `parse` made of the body."""
        return self.parsed


class JsonRoute(APIRoute):
    """A route whose body, if it declares one, is JSON within the edge's limits."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a request that is already parsed."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def checked(request: Request) -> Response:
            settings = request.app.state.edge.settings
            parsed = _ParsedRequest(request.scope, request.receive)
            try:
                body = await read(parsed, timeout_s=settings.body_timeout_s)
            except ClientDisconnect:
                return Response(status_code=GONE)
            require_json(request.headers.get("content-type", ""))
            parsed.parsed = parse(body, max_depth=settings.max_json_depth)
            return await handle(parsed)

        return checked


async def read(request: Request, *, timeout_s: float) -> bytes:
    """The whole body. Raises Refused (408, and 413 from the limit middleware), ClientDisconnect."""
    try:
        async with asyncio.timeout(timeout_s):
            return await request.body()
    except TimeoutError as error:
        raise Refused(Problem(408, "BODY_TIMEOUT", f"the body did not arrive within {timeout_s:g} s")) from error


def require_json(content_type: str) -> None:
    """Raise Refused (415) unless the type is JSON."""
    if not _JSON_TYPE.match(content_type):
        raise Refused(Problem(415, "UNSUPPORTED_MEDIA_TYPE", "send the body as Content-Type: application/json"))


def parse(body: bytes, *, max_depth: int) -> Any:
    """Parse a JSON object. Raises Refused: 400 for what is not JSON, 422 for what is too deep or holds U+0000."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(Problem(400, "MALFORMED_JSON", f"the body is not JSON that can be read: {error}")) from error
    if body.count(b"[") + body.count(b"{") > max_depth and depth_exceeds(value, max_depth):
        raise _invalid(f"the body is nested deeper than {max_depth} levels")
    if not isinstance(value, dict):
        raise _invalid("the body must be a JSON object")
    if b"\\u0000" in body and _NUL.search(body):
        raise _invalid("the body holds the character U+0000")
    return value


def depth_exceeds(value: Any, limit: int) -> bool:
    """Whether lists and objects are nested deeper than `limit`; no recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for container in level
            if isinstance(container, (dict, list))
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _invalid(message: str) -> Refused:
    return Refused(Problem(422, "INVALID_ARGUMENT", message, (Fault(("body",), message),)))
