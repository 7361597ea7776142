"""MCP's tools and results in our terms."""

import re
from collections.abc import Iterable

import mcp_types as mcp
from headrace_blueprint.tools import Tool

from headrace_tools import schemas
from headrace_tools.adapters.mcp_transports import TOO_LARGE
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_DESCRIPTION, MAX_ERROR_CHARACTERS, MAX_TOOLS
from headrace_tools.model import Json, ToolEntry

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$")


def entries(connector: str, tools: Iterable[mcp.Tool]) -> tuple[dict[str, ToolEntry], dict[str, str]]:
    """A server's tools by their own names, and those that cannot be used, each with the reason."""
    found, skipped = dict[str, ToolEntry](), dict[str, str]()
    for tool in tools:
        name, schema = tool.name[:128], {"type": "object", **tool.input_schema}
        if len(found) >= MAX_TOOLS:
            skipped[name] = f"there are more than {MAX_TOOLS} tools"
        elif not _NAME.match(tool.name):
            skipped[name] = "its name has more than letters, digits, _ and -"
        elif (wrong := schemas.fault(schema)) is not None:
            skipped[name] = f"the schema of its arguments {wrong}"
        else:
            said = (tool.description or tool.title or tool.name).strip()[:MAX_DESCRIPTION]
            found[name] = ToolEntry(Tool(f"{connector}.{name}", said, schema), "mcp", connector, _idempotent(tool))
    return found, skipped


def _idempotent(tool: mcp.Tool) -> bool:
    hints = tool.annotations
    return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


def value(result: mcp.CallToolResult) -> Json:
    """What a result says: its structured content, else its texts. Raises `ToolFailed` when it is an error."""
    text = "\n".join(_text(block) for block in result.content)
    if result.is_error:
        raise ToolFailed(text[:MAX_ERROR_CHARACTERS] or "it failed without saying why", reason="failed")
    return text if result.structured_content is None else result.structured_content


def _text(block: mcp.ContentBlock) -> str:
    """A block's text; what is none has a line that says what was there."""
    match block:
        case mcp.TextContent():
            return block.text
        case mcp.EmbeddedResource(resource=mcp.TextResourceContents() as resource):
            return resource.text
        case mcp.EmbeddedResource(resource=resource):
            return f"[{resource.mime_type or 'binary'} resource, not shown]"
        case mcp.ResourceLink():
            return f"[resource {block.uri}]"
        case _:
            return f"[{block.type} {block.mime_type}, not shown]"


def failure(code: int, said: str) -> ToolFailed:
    """What an error of the protocol means for a call."""
    text = said[:MAX_ERROR_CHARACTERS]
    if TOO_LARGE in said or "byte limit" in said:
        return ToolFailed(TOO_LARGE, reason="too_large")
    if code == mcp.CONNECTION_CLOSED or "Session terminated" in said:
        return ToolFailed("the server has gone", reason="away")
    if code == mcp.REQUEST_TIMEOUT:
        return ToolFailed("the server did not answer in time", reason="deadline")
    return ToolFailed(text, reason="invalid" if code == mcp.INVALID_PARAMS else "failed")
