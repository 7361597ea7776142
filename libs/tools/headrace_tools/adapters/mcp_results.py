"""MCP's tools and results in our terms."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import mcp_types as mcp
from headrace_blueprint.tools import Tool
from headrace_schemas import counted
from mcp.shared.exceptions import MCPError

from headrace_tools import schemas
from headrace_tools.adapters.mcp_lines import TOO_LARGE
from headrace_tools.adapters.mcp_transports import HTTP_FAILED
from headrace_tools.answers import MAX_RETRY_AFTER_S
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_DESCRIPTION, MAX_ERROR_CHARACTERS, MAX_TOOLS
from headrace_tools.model import Json, ToolEntry

MAX_QUOTED = MAX_ERROR_CHARACTERS + 100
"""An error's text and what stands before it."""

_CLOSED = ("Connection closed", "SSE stream")

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$")


@dataclass(frozen=True, slots=True)
class Listing:
    """A server's tools as it described them, by their own names, and those that cannot be used, each with the reason."""

    said: Sequence[mcp.Tool] = ()
    tools: Mapping[str, ToolEntry] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, counted.Validator] = field(default_factory=dict)
    """Of tools that say what their results look like."""
    cut: int = 0
    """Tools that were not looked at."""

    @property
    def unusable(self) -> int:
        """How many tools cannot be used."""
        return len(self.skipped) + self.cut


def listing(connector: str, tools: Sequence[mcp.Tool], before: Listing, *, cut: int = 0) -> Listing:
    """What a server's list means, of which `cut` tools were not looked at.

    A tool that is as it was `before` stays the same object, and is not judged again.
    """
    known = {tool.name: tool for tool in before.said}
    found, skipped = dict[str, ToolEntry](), dict[str, str]()
    for tool in tools:
        name, schema = tool.name[:128], {"type": "object", **tool.input_schema}
        if len(found) >= MAX_TOOLS:
            skipped[name] = f"there are more than {MAX_TOOLS} tools"
        elif tool.name in before.tools and known.get(tool.name) == tool:
            found[name] = before.tools[tool.name]
        elif not _NAME.match(tool.name):
            skipped[name] = "its name has more than letters, digits, _ and -"
        elif (wrong := schemas.fault(schema)) is not None:
            skipped[name] = f"the schema of its arguments {wrong}"
        else:
            said = (tool.description or tool.title or tool.name).strip()[:MAX_DESCRIPTION]
            found[name] = ToolEntry(Tool(f"{connector}.{name}", said, schema), "mcp", connector, _idempotent(tool))
    said_outputs = {tool.name: tool.output_schema for tool in tools if tool.name in found}
    outputs = {name: counted.validator(schema) for name, schema in said_outputs.items() if schema is not None}
    return Listing(tools, found, skipped, outputs, cut)


def _idempotent(tool: mcp.Tool) -> bool:
    hints = tool.annotations
    return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


def judged(validator: counted.Validator, result: mcp.CallToolResult, *, steps: int) -> bool:
    """Hold a result against what its tool says of it; False, and no more is known, when that takes more `steps`.

    Raises RuntimeError, as the protocol's package does, when it is another.
    """
    if result.structured_content is None and "structured_content" not in result.model_fields_set:
        raise RuntimeError("it has an output schema, and no structured content came")
    try:
        wrong = next(counted.errors(validator, result.structured_content, work=counted.Work(steps), at_most=1), None)
    except counted.TooMuch:
        return False
    except counted.UnusableSchema as error:
        raise RuntimeError(f"its output schema cannot be used: {error}") from error
    if wrong is not None:
        raise RuntimeError(f"{wrong.json_path}: {wrong.message[:200]}")
    return True


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


def failure(error: MCPError) -> ToolFailed:
    """What an error of the protocol means for a call."""
    code, said = error.code, error.message
    text = said[:MAX_ERROR_CHARACTERS]
    if code == HTTP_FAILED and (failed := _of_http(error)) is not None:
        return failed
    if TOO_LARGE in said or "byte limit" in said:
        return ToolFailed(TOO_LARGE, reason="too_large")
    # A server may use the code of a closed connection for errors of its own.
    if (code == mcp.CONNECTION_CLOSED and said.startswith(_CLOSED)) or "Session terminated" in said:
        return ToolFailed("the server has gone", reason="away")
    if code == mcp.REQUEST_TIMEOUT:
        return ToolFailed("the server did not answer in time", reason="deadline")
    return ToolFailed(text, reason="invalid" if code == mcp.INVALID_PARAMS else "failed")


def too_many(error: MCPError) -> bool:
    """Whether an error says that the server has too many calls just now, so that it is not away."""
    return error.code == HTTP_FAILED and isinstance(error.data, dict) and error.data.get("status") == 429


def _of_http(error: MCPError) -> ToolFailed | None:
    """What `mcp_transports` made of an HTTP status; a server that says the same itself is believed as little as ever."""
    match error.data:
        case {"reason": "away" | "refused" as reason, "retry_after_s": int() | float() | None as seconds}:
            return ToolFailed(error.message[:MAX_QUOTED], reason=reason, retry_after_s=_bounded(seconds))
    return None


def _bounded(seconds: float | None) -> float | None:
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
