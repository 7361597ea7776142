"""Size and depth, checked before anything that recurses sees a document."""

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

import orjson

from headrace_blueprint.faults import Fault, InvalidBlueprint, pointer

MAX_BYTES = 1024 * 1024
"""Largest blueprint, as compact JSON in UTF-8."""
MAX_DEPTH = 64
"""Deepest nesting of objects and lists."""
MAX_VALUES = 20_000
"""Most values, names of fields included."""
MAX_NAME = 256
"""Longest name of an object's field: every fault below it has it in its pointer."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_SCALARS = frozenset({str, int, float, bool, type(None)})


def loads(data: bytes) -> Any:
    """Read a JSON document. Raises InvalidBlueprint when it is too large, too deep or not JSON."""
    if len(data) > MAX_BYTES or _has_too_many(data):
        raise InvalidBlueprint([_too_large()])
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:  # orjson itself refuses more than 1024 levels
        deep = "depth limit" in str(error)
        raise InvalidBlueprint([_too_deep("") if deep else Fault("", f"this is not JSON: {error}")]) from None
    fault = exceeded(document)
    if fault is not None:
        raise InvalidBlueprint([fault])
    return document


def _has_too_many(data: bytes) -> bool:
    """Whether there must be too many values, seen by the commas outside strings: making half a million lists takes long."""
    return data.count(b",") > MAX_VALUES and _STRING.sub(b"", data).count(b",") > MAX_VALUES


def exceeded(document: object) -> Fault | None:
    """The limit that a value exceeds, if any. Takes any Python value of any depth: it does not recurse."""
    level: list[Any] = [document]
    above: list[list[Any]] = []
    values = 0
    while level:
        kinds = set(map(type, level))
        if foreign := kinds - _SCALARS - {dict, list}:
            found = next(one for one in level if type(one) in foreign)
            return Fault(_place(found, above), f"{type(found).__name__} is not a JSON value")
        objects = [one for one in level if type(one) is dict] if dict in kinds else []
        lists = [one for one in level if type(one) is list] if list in kinds else []
        if (objects or lists) and len(above) >= MAX_DEPTH:
            return _too_deep(_place((objects or lists)[0], above))
        below = sum(map(len, objects)) + sum(map(len, lists))
        values += len(level) + sum(map(len, objects))
        # Counted before it is gathered: a value that holds another many times over may be small itself.
        if values + below > MAX_VALUES:
            return _too_large()
        if set(map(type, chain.from_iterable(objects))) - {str}:
            found = next(one for one in objects if set(map(type, one)) - {str})
            return Fault(_place(found, above), "the names of an object's fields are strings")
        if max(map(len, chain.from_iterable(objects)), default=0) > MAX_NAME:
            found = next(one for one in objects if max(map(len, one)) > MAX_NAME)
            return Fault(_place(found, above), f"a field's name has more than {MAX_NAME} characters", "shorten it")
        above.append(level)
        level = [*chain.from_iterable(map(dict.values, objects)), *chain.from_iterable(lists)]
    return _unwritable(document)


def _place(value: Any, above: list[list[Any]]) -> str:
    """The pointer to a value, found upwards through those that hold it."""
    path: list[str | int] = []
    for level in reversed(above):
        holder = next(one for one in level if any(item is value for item in _items(one)))
        keys = holder.items() if type(holder) is dict else enumerate(holder)
        path.append(next(key for key, item in keys if item is value))
        value = holder
    return pointer(reversed(path))


def _items(value: Any) -> Iterable[Any]:
    if type(value) is dict:
        return value.values()
    return value if type(value) is list else ()


def _unwritable(document: object) -> Fault | None:
    """Whatever JSON cannot carry and the walk did not see: lone surrogates, integers past 64 bits."""
    try:
        data = orjson.dumps(document)
    except TypeError as error:
        return Fault("", f"this cannot be written as JSON: {error}")
    return _too_large() if len(data) > MAX_BYTES else None


def _too_large() -> Fault:
    return Fault("", f"the document has more than {MAX_BYTES} bytes or {MAX_VALUES} values", "make it smaller")


def _too_deep(at: str) -> Fault:
    return Fault(at, f"the document is more than {MAX_DEPTH} levels deep", "make it flatter")
