"""What the simulator makes of functions that it may call, and of their results. Pure.

A function that the last message of the user names is called, once, in the order of their names there, with arguments of
its schema; a text like `class_id=c1` in that message gives one of them. What is said after results quotes them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from headrace_simulator.instance import smallest

MAX_QUOTED = 2_000
"""Characters of results that an answer quotes."""

Messages = Sequence[Mapping[str, Any]]


def wished(messages: Messages, functions: Sequence[Mapping[str, Any]]) -> tuple[str, Any] | None:
    """The function that is called next and its arguments; None when all that were named have been, or none was.

    `school__grades` is named by `school.grades` too. Raises `NotASchema`.
    """
    at, text = _question(messages)
    called = {call for one in messages[at + 1 :] for call in _called(one)}
    named = ((_place(text, str(one.get("name", ""))), one) for one in functions)
    for _, function in sorted(((place, one) for place, one in named if place >= 0), key=lambda one: one[0]):
        if function["name"] not in called:
            schema = function.get("parameters") or {"type": "object"}
            return function["name"], _arguments(schema, text)
    return None


def quoted(messages: Messages) -> str | None:
    """What is said to the results that the messages end with, None when they end otherwise."""
    if messages[-1].get("role") != "tool":
        return None
    at, _ = _question(messages)
    results = [str(one.get("content")) for one in messages[at + 1 :] if one.get("role") == "tool"]
    return f"The tools say: {' and '.join(results)[:MAX_QUOTED]}"


def _question(messages: Messages) -> tuple[int, str]:
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].get("role") == "user":
            content = messages[at].get("content")
            return at, content if isinstance(content, str) else orjson.dumps(content).decode()
    return -1, ""


def _called(message: Mapping[str, Any]) -> list[str]:
    calls = message.get("tool_calls")
    functions = [one.get("function") for one in calls if isinstance(one, Mapping)] if isinstance(calls, list) else []
    return [str(one.get("name")) for one in functions if isinstance(one, Mapping)]


def _place(text: str, name: str) -> int:
    """Where a text names a function, as a word of its own; -1 when it does not."""
    names = [re.escape(one) for one in (name, name.replace("__", ".")) if one]
    found = re.search(rf"(?<![\w.-])(?:{'|'.join(names)})(?![\w-]|\.\w)", text) if names else None
    return found.start() if found is not None else -1


def _arguments(schema: Any, text: str) -> Any:
    """The smallest arguments of a schema, with those that the text gives."""
    value = smallest(schema)
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(value, dict) or not isinstance(properties, Mapping):
        return value
    given = {name: _given(text, str(name), one) for name, one in properties.items()}
    return {**value, **{name: one for name, one in given.items() if one is not None}}


def _given(text: str, name: str, schema: Any) -> Any:
    found = re.search(rf"(?<!\w){re.escape(name)}\s*[=:]\s*(\"[^\"]*\"|[^\s,;()]+)", text)
    if found is None:
        return None
    word = found[1].strip('"').rstrip(".?!")
    if isinstance(schema, Mapping) and schema.get("type") == "string":
        return word
    try:
        return orjson.loads(word)
    except orjson.JSONDecodeError:
        return word
