"""What a tools.yaml says, as `tools_file` reads it. Pure data: no secret is in it, only the names of variables.

docs/tools.md explains each setting by example.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from headrace_runtime.yaml_lines import nearest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from headrace_tools import guard, limits, pointer, schemas
from headrace_tools.errors import ToolFailed

ConnectorName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$")]
TenantName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
EntityKind = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
ArgumentName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Description = Annotated[str, StringConstraints(min_length=1, max_length=limits.MAX_DESCRIPTION)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

IDEMPOTENT: frozenset[str] = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""Methods that do no harm when they are repeated (RFC 9110, section 9.2.2)."""
WITH_BODY: frozenset[str] = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose arguments without a place of their own are the body."""
_IN_PATH = re.compile(r"\{([^{}]*)\}")
OWN_HEADERS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers that say how a request is sent and to whom; no argument's value goes there."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auth(_Strict):
    """How calls prove who they are. The secret is in an environment variable."""

    kind: Literal["bearer", "header", "query", "basic"]
    secret: VariableName
    name: HeaderName | None = None
    """The header, or the query parameter."""
    username: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^:\r\n]*$")] | None = None

    def takes(self, place: str, name: str) -> bool:
        """Whether a parameter in the `header` or `query` is the one that holds the secret."""
        if place == "query":
            return self.kind == "query" and name == self.name
        own = {"header": self.name, "query": None}.get(self.kind, "Authorization")
        return place == "header" and own is not None and name.lower() == own.lower()

    @model_validator(mode="after")
    def _whole(self) -> "Auth":
        if self.kind in ("header", "query") and self.name is None:
            raise ValueError(f"`kind: {self.kind}` needs the `name` of the {self.kind} parameter")
        if (self.username is None) == (self.kind == "basic"):
            raise ValueError("`username` belongs to `kind: basic`, and to no other")
        if self.name is not None and self.kind not in ("header", "query"):
            raise ValueError("`name` belongs to `kind: header` and `kind: query`")
        return self


class Outbound(_Strict):
    """What all connectors over HTTP have."""

    allow_hosts: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    """Hosts that may have addresses that are not public."""
    auth: Auth | None = None
    timeout_s: Annotated[float, Field(gt=0, le=limits.MAX_TIMEOUT_S)] = limits.DEFAULT_TIMEOUT_S
    """For a call, its repetitions included."""
    max_response_bytes: Annotated[int, Field(ge=1, le=limits.MAX_RESPONSE_BYTES)] = limits.DEFAULT_RESPONSE_BYTES
    retries: Annotated[int, Field(ge=0, le=limits.MAX_RETRIES)] = limits.DEFAULT_RETRIES

    @field_validator("allow_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(guard.host(one) for one in value)
        except ToolFailed as error:
            raise ValueError(str(error)) from error


def _called(value: str) -> str:
    try:
        guard.target(value)
    except ToolFailed as error:
        raise ValueError(str(error)) from error
    return value


def _base(value: str) -> str:
    if "?" in _called(value) or "#" in value:
        raise ValueError("must have neither a query nor a fragment")
    return value.rstrip("/")


class HttpTool(_Strict):
    """One declared endpoint."""

    id: ToolName
    description: Description
    method: Method = "GET"
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=1024)]
    args: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object", "properties": {}, "additionalProperties": False}
    )
    query: Annotated[tuple[ArgumentName, ...], Field(max_length=100)] = ()
    headers: Annotated[dict[HeaderName, ArgumentName], Field(max_length=32)] = Field(default_factory=dict)
    result: str = ""
    idempotent: bool | None = None

    @property
    def repeatable(self) -> bool:
        """Whether calling it twice does no harm."""
        return self.method in IDEMPOTENT if self.idempotent is None else self.idempotent

    @field_validator("args")
    @classmethod
    def _schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        if (wrong := schemas.fault(value)) is not None:
            raise ValueError(wrong)
        return value

    @field_validator("result")
    @classmethod
    def _pointer(cls, value: str) -> str:
        if (wrong := pointer.fault(value)) is not None:
            raise ValueError(wrong)
        return value

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        if "?" in value or "#" in value or "{" in _IN_PATH.sub("", value) or "}" in _IN_PATH.sub("", value):
            raise ValueError("must be a path, with arguments as {name} and without a query; list those in `query`")
        if any(part in (".", "..") for part in value.split("/")):
            raise ValueError("must not have the parts . and ..")
        return value

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, str]) -> dict[str, str]:
        if own := sorted(name for name in value if name.lower() in OWN_HEADERS):
            raise ValueError(f"{own[0]} is not an argument's to say")
        return value

    def misplaced(self) -> Iterator[tuple[str, str]]:
        """The settings that do not fit `args`, each with what is wrong."""
        known, required = self.args.get("properties", {}), self.args.get("required", ())
        in_path = path_arguments(self.path)
        places = {"path": in_path, "query": self.query, "headers": tuple(self.headers.values())}
        for where, names in places.items():
            for name in names:
                if name not in known:
                    yield where, f"{name!r} is no property of `args`{nearest(name, known)}"
                elif sum(name in other for other in places.values()) > 1:
                    yield where, f"{name!r} has two places; name it in one of path, query and headers"
        for name in in_path:
            if name in known and name not in required:
                yield "path", f"{{{name}}} must be in the `required` of `args`"

    def shadows(self, auth: Auth) -> Iterator[tuple[str, str]]:
        """The settings with which an argument would stand in the secret's place, each with what is wrong."""
        for header in self.headers:
            if auth.takes("header", header):
                yield "headers", f"{header} is where `auth` puts the secret; no argument goes there"
        placed = {*self.headers.values(), *path_arguments(self.path)}
        free = () if self.method in WITH_BODY else (name for name in self.args.get("properties", {}) if name not in placed)
        for name in {*self.query, *free}:
            if auth.takes("query", name):
                yield "args", f"{name} is where `auth` puts the secret; no argument goes there"


class HttpConnector(Outbound):
    """Declared endpoints of one server."""

    kind: Literal["http"]
    base_url: Annotated[str, StringConstraints(max_length=2048)]
    tools: Annotated[dict[ToolName, Any], Field(min_length=1, max_length=limits.MAX_TOOLS)]
    """Each is an `HttpTool`; read one by one, so that each fault is told at its line."""

    _base_url = field_validator("base_url")(_base)


class OpenApiConnector(Outbound):
    """The operations of an OpenAPI document."""

    kind: Literal["openapi"]
    spec: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    """A path, relative to the file, or a URL."""
    base_url: Annotated[str, StringConstraints(max_length=2048)] | None = None
    include: Annotated[tuple[str, ...], Field(min_length=1, max_length=limits.MAX_TOOLS)] | None = None
    exclude: Annotated[tuple[str, ...], Field(max_length=limits.MAX_SPEC_OPERATIONS)] = ()

    @property
    def remote(self) -> bool:
        """Whether the spec is fetched."""
        return "://" in self.spec

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        return None if value is None else _base(value)

    @field_validator("spec")
    @classmethod
    def _spec(cls, value: str) -> str:
        return _called(value) if "://" in value else value


class McpConnector(Outbound):
    """The tools of a server that speaks the Model Context Protocol, over its standard streams or HTTP."""

    kind: Literal["mcp"]
    command: (
        Annotated[
            tuple[Annotated[str, StringConstraints(min_length=1, max_length=4096)], ...], Field(min_length=1, max_length=64)
        ]
        | None
    ) = None
    env: Annotated[dict[VariableName, VariableName], Field(max_length=64)] = Field(default_factory=dict)
    """The server's variables, each with the name of ours that it is taken from."""
    cwd: str | None = None
    """Where the command runs, relative to the file; its folder when it is not given."""
    url: Annotated[str, StringConstraints(max_length=2048)] | None = None

    @field_validator("url")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        return None if value is None else _called(value)

    @model_validator(mode="after")
    def _one_way(self) -> "McpConnector":
        if (self.command is None) == (self.url is None):
            raise ValueError("needs either `command` or `url`")
        if self.url is not None and (self.env or self.cwd is not None):
            raise ValueError("`env` and `cwd` belong to a `command`")
        if self.command is not None and (self.auth is not None or self.allow_hosts):
            raise ValueError("`auth` and `allow_hosts` belong to a `url`")
        return self


ConnectorEntry = HttpConnector | OpenApiConnector | McpConnector


class Entity(_Strict):
    """Where names of records are looked up."""

    tool: Annotated[str, StringConstraints(min_length=3, max_length=256)]
    args: dict[str, Any] = Field(default_factory=dict)
    items: str = ""
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    names: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=128)], ...], Field(min_length=1, max_length=16)
    ]
    cache_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0

    @field_validator("items")
    @classmethod
    def _pointer(cls, value: str) -> str:
        if (wrong := pointer.fault(value)) is not None:
            raise ValueError(wrong)
        return value


def path_arguments(path: str) -> tuple[str, ...]:
    """The arguments that a path names, in their order."""
    return tuple(_IN_PATH.findall(path))
