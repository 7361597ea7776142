"""The built-in tools, as data nodes name them. The executor implements them; this says what they take."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool's name, what it is for, and the JSON Schema of its arguments."""

    name: str
    description: str
    input_schema: Mapping[str, Any]


def _arguments(required: list[str], **properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(
        {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    )


CALCULATOR = Tool(
    "calculator",
    "Works out an arithmetic expression: numbers, + - * / // % **, parentheses.",
    _arguments(["expression"], expression={"type": "string", "minLength": 1, "maxLength": 1000}),
)
TIME = Tool(
    "time",
    "Tells the date and time now in an IANA time zone, UTC if none is given.",
    _arguments([], timezone={"type": "string", "minLength": 1, "maxLength": 64}),
)
SEARCH = Tool(
    "search",
    "Finds the passages of a workspace's documents that are nearest to a query.",
    _arguments(
        ["query"],
        query={"type": "string", "minLength": 1, "maxLength": 4000},
        workspace={"type": "string", "maxLength": 200},
        top_k={"type": "integer", "minimum": 1, "maximum": 50},
    ),
)

TOOLS: Mapping[str, Tool] = MappingProxyType({tool.name: tool for tool in (CALCULATOR, TIME, SEARCH)})
"""Every built-in tool by name."""
SCHEMAS: Mapping[str, Mapping[str, Any]] = MappingProxyType({name: tool.input_schema for name, tool in TOOLS.items()})
"""What `validation.validate` takes as `tools`."""
