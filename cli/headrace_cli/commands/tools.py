"""`headrace tools`: what blueprints and models may call."""

import asyncio
import json
from typing import Any

from headrace_cli import connection, listing
from headrace_cli.commands.options import AsJson

Json = Any

NO_TOOLS = frozenset({"mode", "workflow"})
"""Kinds of GET /skills that are no tools."""


def tools(as_json: AsJson = False) -> None:
    """List the tools that a blueprint's data nodes and a model may call, with the connector that each comes from.

    Those of `headrace up --tools FILE` are called CONNECTOR.TOOL, their kind is the connector's: http, openapi or mcp.
    Built-in ones have the kind tool. Arguments in brackets may be left out.
    """
    found = asyncio.run(_found())
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    rows = [[one["name"], *_origin(one), _arguments(one), one["description"]] for one in found]
    listing.console().print(listing.table(["NAME", "KIND", "CONNECTOR", "ARGUMENTS", "WHAT IT DOES"], rows))


async def _found() -> list[dict[str, Json]]:
    async with connection.connect() as edge:
        skills = (await edge.get("/skills"))["skills"]
    return [one for one in skills if one["kind"] not in NO_TOOLS]


def _origin(tool: dict[str, Json]) -> tuple[str, str]:
    """A tool's kind, which is its connector's protocol, and its connector."""
    connector = tool.get("connector") or {}
    return str(connector.get("protocol") or tool["kind"]), str(connector.get("name") or "")


def _arguments(tool: dict[str, Json]) -> str:
    schema = tool.get("input_schema") or {}
    required = schema.get("required") or []
    return " ".join(name if name in required else f"[{name}]" for name in schema.get("properties") or {})
