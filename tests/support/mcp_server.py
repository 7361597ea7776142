"""An MCP server of its own: `python mcp_server.py stdio`, or `http PORT`. One tool adds one, some fail."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ImageContent, TextContent, ToolAnnotations

server = MCPServer("test", log_level="CRITICAL")
READ_ONLY = ToolAnnotations(read_only_hint=True)


@server.tool(annotations=READ_ONLY)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(structured_output=False)
def text() -> list[Any]:
    """Say two texts and show an image."""
    return [
        TextContent(type="text", text="one"),
        ImageContent(type="image", data="AAAA", mime_type="image/png"),
        TextContent(type="text", text="two"),
    ]


@server.tool(structured_output=False)
def long(size: int) -> str:
    """Say much."""
    return "x" * size


@server.tool()
def broken() -> str:
    """Fail."""
    raise ValueError("the chalk is gone")


@server.tool(annotations=READ_ONLY)
def pid() -> int:
    """Tell the process."""
    return os.getpid()


@server.tool()
def variables() -> dict[str, str]:
    """Tell the environment and the folder."""
    return {**os.environ, "cwd": str(Path.cwd())}


@server.tool()
async def wait(path: str) -> str:
    """Never answer; tell in a file when it is cancelled."""
    try:
        Path(path).write_text("begun")
        await asyncio.Event().wait()
    finally:
        Path(path).write_text("cancelled")
    return ""


@server.tool()
def die() -> None:
    """End the process at once."""
    os._exit(3)


@server.tool()
async def learn(name: str, ctx: Context) -> str:
    """Have one tool more, and say so."""

    def learned() -> str:
        return name

    server.add_tool(learned, name=name, description="Learned.", structured_output=False)
    await ctx.notify_tools_changed()
    return "learned"


@server.tool(name="odd.name")
def odd() -> str:
    """Have a name that no expression can write."""
    return ""


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
