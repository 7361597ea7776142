"""A tool's call as an HTTP request. Pure: where an argument goes, and that it cannot go anywhere else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, urlencode

import orjson

from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_URL_CHARACTERS
from headrace_tools.model import Json, ToolEntry

Place = Literal["path", "query", "header"]
Rest = Literal["query", "body"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument with a place of its own."""

    argument: str
    place: Place
    name: str
    """In the path's braces, the query or the header."""
    explode: bool = True
    """Whether a list in the query is the name repeated, rather than one value with commas."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A tool that is one request."""

    entry: ToolEntry
    method: str
    base_url: str
    path: str
    """With {name} where a parameter of the path goes."""
    parameters: Sequence[Parameter] = ()
    rest: Rest = "body"
    """Where the other arguments go."""
    whole_body: str | None = None
    """The argument that is the body itself; the others are the body's fields."""
    content_type: str = "application/json"
    result: str = ""
    """A JSON pointer into the answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def build(endpoint: Endpoint, arguments: Mapping[str, Json], *, call_id: str = "") -> Request:
    """The request of a call; one that changes something tells its `call_id`, which is the same when it is made again.

    Raises `ToolFailed` for an argument that does not fit its place.
    """
    rest = dict(arguments)
    path, query, headers = endpoint.path, list[tuple[str, str]](), dict[str, str]()
    for parameter in endpoint.parameters:
        value = rest.pop(parameter.argument, None)
        if value is None:
            continue
        if parameter.place == "path":
            path = path.replace(f"{{{parameter.name}}}", quote(_text(parameter.argument, value), safe=""))
        elif parameter.place == "query":
            query += _pairs(parameter.name, value, explode=parameter.explode)
        else:
            headers[parameter.name] = _header(parameter.argument, _text(parameter.argument, value))
    _check_path(endpoint, path)
    body = None
    if endpoint.rest == "query":
        query += [pair for name, value in rest.items() if value is not None for pair in _pairs(name, value, explode=True)]
    elif endpoint.whole_body is not None:
        body = orjson.dumps(rest[endpoint.whole_body]) if endpoint.whole_body in rest else None
    elif rest or endpoint.method in ("POST", "PUT", "PATCH"):
        body = orjson.dumps(rest)
    if body is not None:
        headers["Content-Type"] = endpoint.content_type
    if call_id and endpoint.method not in ("GET", "HEAD"):
        headers.setdefault("Idempotency-Key", call_id)
    url = endpoint.base_url + path + (f"?{urlencode(query)}" if query else "")
    if len(url) > MAX_URL_CHARACTERS:
        raise ToolFailed(f"the arguments make a URL of more than {MAX_URL_CHARACTERS} characters", reason="invalid")
    return Request(endpoint.method, url, headers, body)


def _check_path(endpoint: Endpoint, path: str) -> None:
    """A segment that is empty or made of dots leads to another one."""
    if path == endpoint.path:
        return
    for before, after in zip(endpoint.path.split("/"), path.split("/"), strict=True):
        if before != after and after in ("", ".", ".."):
            raise ToolFailed(f"the argument in {before} of the path must not be empty, . or ..", reason="invalid")


def _text(argument: str, value: Json) -> str:
    if isinstance(value, list):
        return ",".join(_text(argument, item) for item in value)
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        return orjson.dumps(value).decode()
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ToolFailed(f"the argument {argument} has characters that cannot be sent", reason="invalid") from error
    return text


def _pairs(name: str, value: Json, *, explode: bool) -> list[tuple[str, str]]:
    if isinstance(value, list) and explode:
        return [(name, _text(name, item)) for item in value]
    return [(name, _text(name, value))]


def _header(argument: str, text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        said = f"the argument {argument} goes into a header: only printable ASCII, without line breaks"
        raise ToolFailed(said, reason="invalid")
    return text.strip()
