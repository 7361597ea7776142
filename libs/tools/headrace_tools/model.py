"""The nouns of tools. Plain data; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headrace_blueprint.tools import Tool

Json = Any

Kind = Literal["builtin", "http", "openapi", "mcp"]


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool that a tenant may call. Its name is CONNECTOR.TOOL."""

    tool: Tool
    kind: Kind
    connector: str
    idempotent: bool = False
    """Whether calling it twice does no harm; only then is a call repeated whose fate is unknown."""


@dataclass(frozen=True, slots=True)
class EntitySource:
    """Where the names in a request are looked up: a tool that lists records."""

    kind: str
    """What a record is, such as class: a name that an expression can write."""
    tool: str
    """Called with `args`; its result, or what `items` points to in it, is a list of objects."""
    args: Mapping[str, Json]
    items: str
    """An RFC 6901 JSON pointer, "" for the result itself."""
    id_field: str
    name_fields: Sequence[str]
    """Fields that hold a name of the record: a string, or a list of them. The first is how it is called."""
    cache_s: float = 300.0
