"""An MCP server over standard streams that knows the protocol of 2025 alone, written without the protocol's package."""

import json
import sys
from typing import Any

TOOLS = ["learn"]
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def answer(method: str, params: dict[str, Any]) -> Any:
    """A method's result, or None for one that is unknown."""
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}}
        info = {"name": "older", "version": "1"}
        return {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": SCHEMA} for name in TOOLS]}
    if method == "tools/call":
        TOOLS.append(params["arguments"]["name"])
        send(method="notifications/tools/list_changed")
        return {"content": [{"type": "text", "text": "learned"}]}
    return None


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        result = answer(request["method"], request.get("params") or {})
        if result is None:
            send(id=request["id"], error={"code": -32601, "message": "no such method"})
        else:
            send(id=request["id"], result=result)
