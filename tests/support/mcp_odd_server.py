"""MCP servers that misbehave, over standard streams and without the protocol's package: `mcp_odd_server.py WAY FOLDER`."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

SCHEMA = {"type": "object", "properties": {"size": {"type": "integer"}, "way": {"type": "string"}}}
SAFE = {"readOnlyHint": True}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def send(**message: Any) -> None:
    say(json.dumps({"jsonrpc": "2.0", **message}))


def tools(way: str, cursor: str | None) -> dict[str, Any]:
    """A page of the list."""
    if way == "pages":  # without end
        at = int(cursor or 0)
        return {"tools": [named(f"t{at + n}") for n in range(500)], "nextCursor": str(at + 500)}
    if way == "many":
        return {"tools": [named(f"t{n}") for n in range(10_000)]}
    if way == "wide":
        return {"tools": [{**named("answer"), "icons": [{"src": "a"}] * 50}] * 1000}
    if way == "typed":
        typed = {"text": {"pattern": "^(x+)+$", "maxLength": 99}}
        return {"tools": [named("answer", outputSchema={"type": "object", "properties": typed})]}
    if way == "vast":
        return {"tools": [named(f"t{n}", description="x" * 1000) for n in range(10_000)]}
    return {"tools": [named(name) for name in ("answer", "pid", "leave", "endless", "say")]}


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": SCHEMA, "annotations": SAFE if name != "leave" else {}, **more}


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def call(request_id: Any, tool: str, size: int, way: str) -> None:
    """Answer a call, in a way that is asked for."""
    if tool == "leave":
        sys.stdout.write('{"jsonrpc": "2.0", "id": ')
        sys.stdout.flush()
        os._exit(1)
    if tool == "endless":
        while True:
            sys.stdout.write("x" * 65_536)
    if tool == "say":
        for _ in range(size):
            say("Listening on port 8080…")
    answer = text(str(os.getpid()) if tool == "pid" else "x" * size if tool == "answer" else "said")
    if way == "structured":
        send(id=request_id, result={**answer, "structuredContent": {"text": "x" * size + "!"}})
    elif way == "lists":
        lists = {"content": [], "structuredContent": {"a": [[]] * size}}
        say(json.dumps({"jsonrpc": "2.0", "id": request_id, "result": lists}, separators=(",", ":")))
    elif way == "id last":
        say(json.dumps({"result": answer, "jsonrpc": "2.0", "id": request_id}))
    elif way == "no id":
        say(json.dumps({"result": answer, "id": request_id, "jsonrpc": "2.0"}))
    elif way == "as a request":
        say(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "sampling/createMessage", "params": answer}))
    elif way == "error":
        send(id=request_id, error={"code": -32000, "message": f"cannot use {os.environ.get('TOKEN')}"})
    else:
        send(id=request_id, result=answer)


def main(way: str, folder: Path) -> None:
    with (folder / "starts").open("a") as starts:
        starts.write(f"{os.getpid()} {time.monotonic()}\n")
    if way == "silent":
        for _ in sys.stdin:
            pass
        return
    if way == "deaf":
        time.sleep(3600)
    if way == "garbage":
        while True:
            say("This is no protocol.")
    if way == "quitting":
        return
    for line in sys.stdin:
        request = json.loads(line)
        method, params = request["method"], request.get("params") or {}
        if "id" not in request:
            continue
        if method == "initialize":
            info = {"name": "odd", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            result = {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": info}
            send(id=request["id"], result=result)
        elif method == "tools/list":
            send(id=request["id"], result=tools(way, params.get("cursor")))
            if way == "restless":
                send(method="notifications/tools/list_changed")
                with (folder / "listings").open("a") as listings:
                    listings.write("x")
        elif method == "tools/call":
            arguments = params.get("arguments") or {}
            call(request["id"], params["name"], arguments.get("size", 1), arguments.get("way", ""))
        else:
            send(id=request["id"], error={"code": -32601, "message": "no such method"})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
