"""What a caller asks: the body of POST /v1/chat/completions, as far as it changes the answer. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from headrace_simulator import functions
from headrace_simulator.instance import NotASchema, smallest

BYTES_PER_TOKEN = 4
"""A prompt's tokens are estimated: a quarter of its UTF-8 bytes, and a few for each message."""
TOKENS_PER_MESSAGE = 4
MAX_MODEL_CHARACTERS = 200


class BadRequest(Exception):
    """The body is not a request. `parameter` is the field that is wrong."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    model: str
    prompt_tokens: int
    max_tokens: int | None = None
    stream: bool = False
    include_usage: bool = False
    json: str | None = None
    """What is answered when it is to be JSON; None is plain text."""
    tool: str = ""
    """The function that is called, with `json` as its arguments; "" is none."""
    text: str | None = None
    """What is answered; None is any text."""


def parse(body: object) -> Ask:
    """Read a decoded body. Raises `BadRequest`."""
    if not isinstance(body, Mapping):
        raise BadRequest("the body must be a JSON object")
    model = body.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARACTERS:
        raise BadRequest(f"model must be a name of up to {MAX_MODEL_CHARACTERS} characters", "model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, Mapping) for one in messages):
        raise BadRequest("messages must be a list of one or more objects", "messages")
    if body.get("n") not in (None, 1):
        raise BadRequest("n must be 1: the simulator gives one answer", "n")
    stream = _flag(body, "stream")
    options = body.get("stream_options")
    tool, arguments = _tool(body)
    text = None if tool else functions.quoted(messages)
    return Ask(
        model=model,
        prompt_tokens=sum(_tokens(one) for one in messages) + _size(body.get("tools")) // BYTES_PER_TOKEN,
        max_tokens=_max_tokens(body),
        stream=stream,
        include_usage=isinstance(options, Mapping) and _flag(options, "include_usage"),
        json=arguments if tool else _instance(_response_schema(body), "response_format"),
        tool=tool,
        text=text,
    )


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value not in (None, True, False):
        raise BadRequest(f"{name} must be true or false", name)
    return bool(value)


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadRequest(f"{name} must be a whole number of at least 1", name)
        return value
    return None


def _tokens(message: Mapping[str, Any]) -> int:
    return TOKENS_PER_MESSAGE + (_size(message.get("content")) + _size(message.get("tool_calls"))) // BYTES_PER_TOKEN


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(_size(inner) for inner in value)
    return 0 if value is None else 1


def _tool(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """The function that is called, and its arguments as JSON: one that must be, or else one that the user names."""
    choice = body.get("tool_choice")
    known = _functions(body)
    if choice in (None, "auto"):
        return _wished(body["messages"], known)
    if choice == "none":
        return "", None
    wanted = None
    if isinstance(choice, Mapping):
        function = choice.get("function")
        wanted = function.get("name") if isinstance(function, Mapping) else None
    elif choice != "required":
        raise BadRequest('tool_choice must be "none", "auto", "required" or a function', "tool_choice")
    for function in known:
        if choice == "required" or function["name"] == wanted:
            return function["name"], _instance(function.get("parameters") or {"type": "object"}, "tools")
    raise BadRequest("tool_choice asks for a function that tools does not have", "tool_choice")


def _functions(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tools = body.get("tools")
    listed = [one.get("function") for one in tools if isinstance(one, Mapping)] if isinstance(tools, list) else []
    named = [one for one in listed if isinstance(one, Mapping)]
    return [one for one in named if isinstance(one.get("name"), str) and one["name"]]


def _wished(messages: list[Mapping[str, Any]], known: list[Mapping[str, Any]]) -> tuple[str, str | None]:
    try:
        found = functions.wished(messages, known)
        return (found[0], orjson.dumps(found[1]).decode()) if found is not None else ("", None)
    except (NotASchema, orjson.JSONEncodeError) as error:
        raise BadRequest(str(error), "tools") from error


def _instance(schema: Any, parameter: str) -> str | None:
    if schema is None:
        return None
    try:
        return orjson.dumps(smallest(schema)).decode()
    except (NotASchema, orjson.JSONEncodeError) as error:
        raise BadRequest(str(error), parameter) from error


def _response_schema(body: Mapping[str, Any]) -> Any:
    wanted = body.get("response_format")
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    given = wanted.get("json_schema") if kind == "json_schema" else None
    schema = given.get("schema") if isinstance(given, Mapping) else None
    if not isinstance(schema, Mapping):
        raise BadRequest("response_format must be text, json_object, or json_schema with a schema", "response_format")
    return schema
