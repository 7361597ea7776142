"""Tools from an OpenAPI 3.0 or 3.1 document: one of each operation. Pure: the document comes in as JSON.

References within the document are written out; where one leads back into itself the schema is cut to "anything". What
cannot be called (a body that is no JSON, a required cookie) is skipped, and said.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin

from headrace_blueprint.tools import Tool

from headrace_tools import guard, schemas
from headrace_tools.connectors import IDEMPOTENT, OWN_HEADERS, OpenApiConnector, path_arguments
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_DESCRIPTION, MAX_SPEC_OPERATIONS, MAX_TOOLS
from headrace_tools.model import ToolEntry
from headrace_tools.openapi_schemas import Schemas, Unusable
from headrace_tools.requests import Endpoint, Parameter, Place, Rest

_IN_PATH = re.compile(r"(\{[^{}]*\})")
_METHODS = ("get", "head", "post", "put", "patch", "delete")
_IGNORED_HEADERS = OWN_HEADERS | {"accept", "authorization"}
_PLACES: Mapping[str, Place] = {"path": "path", "query": "query", "header": "header"}


class InvalidSpec(Exception):
    """A document that no tools can be made of."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What a document gave."""

    endpoints: Mapping[str, Endpoint]
    """By the tools' own names."""
    skipped: Mapping[str, str]
    """Operations that cannot be called, each with the reason."""


@dataclass(slots=True)
class _Arguments:
    """The arguments of one operation, as they are gathered."""

    properties: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    whole_body: str | None = None
    content_type: str = "application/json"

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": False,
        }


def tools(connector: str, entry: OpenApiConnector, document: Any, *, source: str = "") -> Imported:
    """The operations of a document as endpoints; `source` is the URL that it was fetched from, for a relative server.

    Raises `InvalidSpec`.
    """
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise InvalidSpec("it is no OpenAPI document: it has no `paths`")
    version = str(document.get("openapi", ""))
    if not version.startswith(("3.0", "3.1")):
        raise InvalidSpec(f"it is of version {version[:20] or 'unknown'}; OpenAPI 3.0 and 3.1 are read")
    base_url = entry.base_url or _server(document, source)
    found = dict[str, Endpoint]()
    skipped = dict[str, str]()
    seen = set[str]()
    included, excluded = {_clean(one) for one in entry.include or ()}, {_clean(one) for one in entry.exclude}
    for name, method, path, item, operation in _operations(document):
        if name in seen:
            raise InvalidSpec(f"two operations are named {name}; give each an operationId of its own")
        seen.add(name)
        if (included and name not in included) or name in excluded:
            continue
        try:
            if len(found) >= MAX_TOOLS:
                raise Unusable(f"there are more than {MAX_TOOLS} operations; choose some by include")
            found[name] = _Operation(connector, base_url, entry, document).endpoint(name, method, path, item, operation)
        except Unusable as error:
            skipped[name] = str(error)
    missing = sorted((included | excluded) - seen)
    if missing:
        raise InvalidSpec(f"include and exclude name operations that it does not have: {', '.join(missing)[:300]}")
    return Imported(found, skipped)


def _server(document: Mapping[str, Any], source: str) -> str:
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], dict) else {}
    said, variables = str(first.get("url") or ("/" if source else "")), first.get("variables")
    for name, variable in variables.items() if isinstance(variables, dict) else ():
        if isinstance(variable, dict) and "default" in variable:
            said = said.replace(f"{{{name}}}", str(variable["default"]))
    try:
        url = urljoin(source, said) if source else said
        guard.target(url)
    except (ToolFailed, ValueError) as error:
        raise InvalidSpec(f"its first server is no URL that can be called ({error}); give base_url") from error
    if "{" in url or "?" in url or "#" in url:
        raise InvalidSpec("its first server has a variable without a default, a query or a fragment; give base_url")
    if source and guard.target(url).host != guard.target(source).host:
        # What a fetched document says must not decide which host gets the secret.
        raise InvalidSpec("its first server is not the host that it was fetched from; give base_url")
    return url.rstrip("/")


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]]:
    count = 0
    for path, item in document["paths"].items():
        if not isinstance(item, dict) or not str(path).startswith("/"):
            continue
        if "$ref" in item:
            item = schemas.resolved(document, str(item["$ref"])) or {}
        for method in _METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                count += 1
                if count > MAX_SPEC_OPERATIONS:
                    raise InvalidSpec(f"it has more than {MAX_SPEC_OPERATIONS} operations")
                yield _name(operation, method, str(path)), method.upper(), str(path), item, operation


def _name(operation: Mapping[str, Any], method: str, path: str) -> str:
    return _clean(str(operation.get("operationId") or "")) or _clean(re.sub(r"[^A-Za-z0-9-]+", "_", f"{method}_{path}"))


def _clean(name: str) -> str:
    """A name that a tool may have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:128]


class _Operation:
    """Makes an endpoint of one operation."""

    def __init__(self, connector: str, base_url: str, entry: OpenApiConnector, document: Mapping[str, Any]) -> None:
        self._connector = connector
        self._base_url = base_url
        self._entry = entry
        self._schemas = Schemas(document)

    def endpoint(
        self, name: str, method: str, path: str, item: Mapping[str, Any], operation: Mapping[str, Any]
    ) -> Endpoint:
        if "?" in path or "#" in path or any(part in (".", "..") for part in path.split("/")):
            raise Unusable("its path has a query, a fragment, or the parts . and ..")
        if self._entry.base_url is None and (item.get("servers") or operation.get("servers")):
            # It may be on another host, which must not get the secret.
            raise Unusable("it has servers of its own; give base_url if the connector's is meant")
        arguments = _Arguments()
        for parameter in self._parameters(item, operation):
            self._parameter(arguments, parameter)
        rest: Rest = "query"
        if (body := operation.get("requestBody")) is not None:
            rest = "body"
            self._body(arguments, self._schemas.found(body))
        borne = {one.name for one in arguments.parameters if one.place == "path"}
        if missing := [one for one in path_arguments(path) if one not in borne]:
            raise Unusable(f"its path has {{{missing[0]}}}, which no parameter bears")
        schema = arguments.schema()
        if (wrong := schemas.fault(schema)) is not None:
            raise Unusable(f"the schema of its arguments {wrong}")
        described = Tool(f"{self._connector}.{name}", _description(operation, method, path), schema)
        return Endpoint(
            entry=ToolEntry(described, "openapi", self._connector, method in IDEMPOTENT),
            method=method,
            base_url=self._base_url,
            path=_quoted(path),
            parameters=tuple(arguments.parameters),
            rest=rest,
            whole_body=arguments.whole_body,
            content_type=arguments.content_type,
        )

    def _parameters(self, item: Mapping[str, Any], operation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The path's parameters, and the operation's own over them."""
        found = dict[tuple[str, str], Mapping[str, Any]]()
        for one in (*_list(item.get("parameters")), *_list(operation.get("parameters"))):
            parameter = self._schemas.found(one)
            found[str(parameter.get("in")), str(parameter.get("name"))] = parameter
        return list(found.values())

    def _parameter(self, arguments: _Arguments, parameter: Mapping[str, Any]) -> None:
        where, name, required = str(parameter.get("in")), str(parameter.get("name")), bool(parameter.get("required"))
        place = _PLACES.get(where)
        if place is None:
            if required:
                raise Unusable(f"it needs the {where} {name[:64]!r}")
            return
        if place == "header" and name.lower() in _IGNORED_HEADERS:
            return
        if self._entry.auth is not None and self._entry.auth.takes(place, name):
            return  # the connector says it
        if "schema" not in parameter or parameter.get("style") in (
            "matrix",
            "label",
            "deepObject",
            "spaceDelimited",
            "pipeDelimited",
        ):
            if required:
                raise Unusable(f"its parameter {name[:64]!r} is written in a way that is not supported")
            return
        argument = name if name not in arguments.properties else f"{where}_{name}"
        arguments.properties[argument] = self._described(parameter)
        if required or place == "path":
            arguments.required.append(argument)
        arguments.parameters.append(Parameter(argument, place, name, bool(parameter.get("explode", place == "query"))))

    def _described(self, parameter: Mapping[str, Any]) -> dict[str, Any]:
        schema = self._schemas.plain(parameter["schema"])
        said = parameter.get("description")
        return {"description": said[:MAX_DESCRIPTION], **schema} if isinstance(said, str) and said else schema

    def _body(self, arguments: _Arguments, body: Mapping[str, Any]) -> None:
        content = body.get("content")
        kinds = (
            {str(kind).partition(";")[0].strip().lower(): one for kind, one in content.items()}
            if isinstance(content, dict)
            else {}
        )
        kind = next((one for one in kinds if one == "application/json" or one.endswith("+json")), None)
        if kind is None:
            if body.get("required"):
                raise Unusable(f"its body is {', '.join(kinds)[:100] or 'not described'}, not JSON")
            return
        arguments.content_type = kind
        schema = self._schemas.plain(kinds[kind].get("schema", {}) if isinstance(kinds[kind], dict) else {})
        required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        if self._flat(arguments, schema) and (body.get("required") or not required):
            arguments.properties |= schema["properties"]
            arguments.required += [name for name in required if name in schema["properties"]]
            return
        whole = "body" if "body" not in arguments.properties else "request_body"
        arguments.whole_body = whole
        arguments.properties[whole] = schema
        if body.get("required"):
            arguments.required.append(whole)

    def _flat(self, arguments: _Arguments, schema: Mapping[str, Any]) -> bool:
        """Whether the body's fields can stand beside the parameters."""
        fields = schema.get("properties")
        closed = not schema.get("additionalProperties") and not {"allOf", "anyOf", "oneOf", "not", "if"} & schema.keys()
        return (
            isinstance(fields, dict)
            and bool(fields)
            and schema.get("type") == "object"
            and closed
            and not fields.keys() & arguments.properties.keys()
        )


def _quoted(path: str) -> str:
    """A path as it is sent, with the names of its parameters as they are."""
    return "".join(one if one.startswith("{") else quote(one, safe="/%:@!$&'()*+,;=~") for one in _IN_PATH.split(path))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _description(operation: Mapping[str, Any], method: str, path: str) -> str:
    parts = [str(operation[key]).strip() for key in ("summary", "description") if operation.get(key)]
    text = "\n".join(dict.fromkeys(parts)) or f"{method} {path}"
    return text if len(text) <= MAX_DESCRIPTION else f"{text[: MAX_DESCRIPTION - 1]}…"
