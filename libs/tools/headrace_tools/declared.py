"""Endpoints from the tools that a tools.yaml declares. Pure."""

from collections.abc import Mapping

from headrace_blueprint.tools import Tool

from headrace_tools.connectors import WITH_BODY, HttpConnector, HttpTool, path_arguments
from headrace_tools.model import ToolEntry
from headrace_tools.requests import Endpoint, Parameter


def endpoints(name: str, entry: HttpConnector, tools: Mapping[str, HttpTool]) -> dict[str, Endpoint]:
    """The endpoints of the connector `name`, by the tools' own names."""
    return {tool.id: _endpoint(name, entry, tool) for tool in tools.values()}


def _endpoint(connector: str, entry: HttpConnector, tool: HttpTool) -> Endpoint:
    described = Tool(f"{connector}.{tool.id}", tool.description, tool.args)
    return Endpoint(
        entry=ToolEntry(described, "http", connector, tool.repeatable),
        method=tool.method,
        base_url=entry.base_url,
        path=tool.path,
        parameters=(
            *(Parameter(name, "path", name) for name in path_arguments(tool.path)),
            *(Parameter(name, "query", name) for name in tool.query),
            *(Parameter(argument, "header", header) for header, argument in tool.headers.items()),
        ),
        rest="body" if tool.method in WITH_BODY else "query",
        result=tool.result,
    )
