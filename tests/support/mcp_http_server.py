"""An MCP server over HTTP that knows the protocol of 2025 alone, in the test's own process: each call's answer is set."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}


class Scripted:
    """Tools `read`, which does no harm, and `write`. The next answers to `method` are those that `answers` has for it."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Callable[[web.Request], web.StreamResponse]]] = {}
        self.heard: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def calls(self, method: str) -> int:
        """How often a method was called."""
        return sum(one == method for one, _ in self.heard)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if request.method != "POST":
            return web.Response(status=405)
        message = await request.json()
        method, params = message["method"], message.get("params") or {}
        self.heard.append((method, params))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if waiting := self.answers.get(method):
            return waiting.pop(0)(request)
        if "id" not in message:
            return web.Response(status=202)
        result = self._result(method, params)
        if result is None:
            error = {"code": -32601, "message": "no such method"}
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "error": error})
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _result(self, method: str, params: Any) -> Any:
        if method == "initialize":
            info = {"name": "scripted", "version": "1"}
            return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
        if method == "tools/list":
            hints = {"read": {"readOnlyHint": True}, "write": {}}
            return {"tools": [{"name": one, "inputSchema": SCHEMA, "annotations": hints[one]} for one in hints]}
        if method == "tools/call":
            return {"content": [{"type": "text", "text": params["name"]}]}
        return None


def status(code: int, text: str = "because", **headers: str) -> Callable[[web.Request], web.Response]:
    """An answer that is an HTTP error."""
    return lambda _: web.Response(status=code, text=text, headers={one.replace("_", "-"): headers[one] for one in headers})
