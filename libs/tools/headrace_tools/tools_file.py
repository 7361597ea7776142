"""Reads tools.yaml, or says everything that is wrong with it, each with its line. Pure: it reads no file, only a text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import yaml
from headrace_runtime import yaml_lines
from headrace_runtime.settings import Fault
from headrace_runtime.yaml_lines import Path, nearest
from headrace_schemas import counted
from pydantic import BaseModel, ConfigDict, Field

from headrace_tools import limits, schemas
from headrace_tools.connectors import (
    Auth,
    ConnectorEntry,
    ConnectorName,
    Entity,
    EntityKind,
    HttpConnector,
    HttpTool,
    McpConnector,
    OpenApiConnector,
    TenantName,
)
from headrace_tools.errors import InvalidToolsFile, ToolFailed
from headrace_tools.model import EntitySource

EVERYBODY = ""
"""The scope that every tenant sees; the others are tenants' ids."""

_KINDS: Mapping[str, type[ConnectorEntry]] = {"http": HttpConnector, "openapi": OpenApiConnector, "mcp": McpConnector}
_TOOL_KEY = "a tool's name has letters, digits, _ and -"


class _Scope(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    connectors: Annotated[dict[ConnectorName, Any], Field(max_length=limits.MAX_CONNECTORS)] = Field(default_factory=dict)
    entities: Annotated[dict[EntityKind, Any], Field(max_length=limits.MAX_ENTITIES)] = Field(default_factory=dict)


class _File(_Scope):
    version: Literal[1]
    tenants: Annotated[dict[TenantName, Any], Field(max_length=limits.MAX_TENANTS)] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declared:
    """A connector of a tools.yaml."""

    name: str
    scope: str
    entry: ConnectorEntry
    place: Path
    tools: Mapping[str, HttpTool]
    """Of an `http` connector; the others' are found elsewhere."""

    @property
    def label(self) -> str:
        """Its name in metrics and logs."""
        return f"{self.scope}/{self.name}" if self.scope else self.name


@dataclass(frozen=True, slots=True)
class ToolsFile:
    """A tools.yaml without faults."""

    source: str
    connectors: Mapping[str, Mapping[str, Declared]]
    """By scope, then by name."""
    entities: Mapping[str, Mapping[str, EntitySource]]
    root: yaml.Node | None = None

    def all(self) -> Iterator[Declared]:
        """Every scope's connectors."""
        for scope in self.connectors.values():
            yield from scope.values()

    def invalid(self, faults: list[tuple[Path, str]]) -> InvalidToolsFile:
        """The error for what turned out to be wrong after the file was read."""
        return InvalidToolsFile(self.source, [yaml_lines.fault(self.root, place, said) for place, said in faults])


def parse(text: str, *, environment: Mapping[str, str], source: str = "tools.yaml") -> ToolsFile:
    """Read the text of a tools.yaml. Raises `InvalidToolsFile` with every fault.

    `environment` is only asked whether the variables that hold secrets are there; `source` is the file's name in messages.
    """
    if len(text.encode()) > limits.MAX_FILE_BYTES:
        raise InvalidToolsFile(source, [Fault(0, "", f"larger than {limits.MAX_FILE_BYTES} bytes")])
    root, value, broken = yaml_lines.load(text)
    if broken:
        raise InvalidToolsFile(source, broken)
    return _Reader(root, source, environment).read(value)


class _Reader:
    """One reading of one file."""

    def __init__(self, root: yaml.Node | None, source: str, environment: Mapping[str, str]) -> None:
        self._root = root
        self._source = source
        self._environment = environment
        self._faults = [*yaml_lines.repeated(root)]
        self._connectors: dict[str, dict[str, Declared]] = {}
        self._known: dict[str, set[str]] = {}
        self._entities: dict[str, dict[str, EntitySource]] = {}

    def read(self, value: Any) -> ToolsFile:
        yaml_lines.validate(_File, value, (), self._root, self._faults)
        scopes: dict[str, tuple[Path, Mapping[str, Any]]] = {EVERYBODY: ((), _mapping(value))}
        for tenant, body in _mapping(_mapping(value).get("tenants")).items():
            place: Path = ("tenants", tenant)
            yaml_lines.validate(_Scope, body, place, self._root, self._faults)
            scopes[str(tenant)] = (place, _mapping(body))
        for scope, (place, body) in scopes.items():
            named = _mapping(body.get("connectors"))
            self._known[scope] = {str(name) for name in named}
            read = [self._connector(scope, str(name), one, (*place, "connectors", name)) for name, one in named.items()]
            self._connectors[scope] = {one.name: one for one in read if one is not None}
        for scope, (place, body) in scopes.items():
            for kind, one in _mapping(body.get("entities")).items():
                self._entity(scope, str(kind), one, (*place, "entities", kind))
        if self._faults:
            raise InvalidToolsFile(self._source, sorted(set(self._faults), key=lambda fault: (fault.line, fault.path)))
        return ToolsFile(self._source, self._connectors, self._entities, self._root)

    def _fault(self, place: Path, message: str) -> None:
        self._faults.append(yaml_lines.fault(self._root, place, message))

    def _connector(self, scope: str, name: str, body: Any, place: Path) -> Declared | None:
        kind = _mapping(body).get("kind")
        cls = _KINDS.get(kind) if isinstance(kind, str) else None
        if cls is None:
            said = f"must be {', '.join(_KINDS)}{nearest(kind, _KINDS) if isinstance(kind, str) else ''}"
            self._fault((*place, "kind"), said)
            return None
        entry = yaml_lines.validate(cls, body, place, self._root, self._faults)
        tools = self._tools(_mapping(body.get("tools")), (*place, "tools")) if kind == "http" else {}
        if entry is None:
            return None
        if entry.auth is not None:
            self._secret(entry.auth, (*place, "auth"))
            for tool in tools.values():
                for setting, said in tool.shadows(entry.auth):
                    self._fault((*place, "tools", tool.id, setting), said)
        if isinstance(entry, McpConnector):
            for inner, variable in entry.env.items():
                self._variable(variable, (*place, "env", inner))
        return Declared(name, scope, entry, place, tools)

    def _tools(self, named: Mapping[str, Any], place: Path) -> dict[str, HttpTool]:
        tools = {}
        for name, body in named.items():
            at: Path = (*place, name)
            if not isinstance(body, dict):
                self._fault(at, "must be a mapping with at least `description` and `path`")
            elif "id" in body:
                self._fault((*at, "id"), "there is no such setting; the key of the mapping is the tool's name")
            elif tool := yaml_lines.validate(
                HttpTool, {"id": str(name), **body}, at, self._root, self._faults, key=_TOOL_KEY
            ):
                tools[tool.id] = tool
                for setting, said in tool.misplaced():
                    self._fault((*at, setting), said)
        return tools

    def _secret(self, auth: Auth, place: Path) -> None:
        self._variable(auth.secret, (*place, "secret"))

    def _variable(self, name: str, place: Path) -> None:
        value = self._environment.get(name)
        if value is None:
            self._fault(place, f"the environment variable {name} is not set{nearest(name, self._environment)}")
        elif not value:
            self._fault(place, f"the environment variable {name} is empty")
        elif not (value.isascii() and value.isprintable()):
            self._fault(place, f"the environment variable {name} has line breaks, or characters that are not ASCII")

    def _entity(self, scope: str, kind: str, body: Any, place: Path) -> None:
        entity = yaml_lines.validate(Entity, body, place, self._root, self._faults)
        if entity is None:
            return
        name, _, tool = entity.tool.partition(".")
        connector = self._connectors[scope].get(name) or self._connectors[EVERYBODY].get(name)
        known = self._known[scope] | self._known[EVERYBODY]
        if name not in known or not tool:
            self._fault((*place, "tool"), f"no connector {name!r}; write CONNECTOR.TOOL{nearest(name, known)}")
        elif connector is not None and isinstance(connector.entry, HttpConnector):
            self._entity_tool(entity, connector.tools.get(tool), connector, place)
        self._entities.setdefault(scope, {})[kind] = EntitySource(
            kind, entity.tool, entity.args, entity.items, entity.id, entity.names, entity.cache_s
        )

    def _entity_tool(self, entity: Entity, tool: HttpTool | None, connector: Declared, place: Path) -> None:
        if tool is None:
            name = entity.tool.partition(".")[2]
            self._fault((*place, "tool"), f"{connector.name} has no tool {name!r}{nearest(name, connector.tools)}")
            return
        try:
            schemas.check(entity.tool, counted.validator(tool.args, own=True), entity.args)
        except ToolFailed as error:
            self._fault((*place, "args"), str(error))


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}
