"""Size and depth, checked before anything that recurses sees a document."""

from collections.abc import Mapping
from typing import Any

import orjson

from headrace_blueprint.faults import Fault, InvalidBlueprint, pointer

MAX_BYTES = 1024 * 1024
"""Largest blueprint, as compact JSON in UTF-8."""
MAX_DEPTH = 64
"""Deepest nesting of objects and lists."""
MAX_VALUES = 100_000
"""Most values, names of fields included."""


def loads(data: bytes) -> Any:
    """Read a JSON document. Raises InvalidBlueprint when it is too large, too deep or not JSON."""
    if len(data) > MAX_BYTES:
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


def exceeded(document: object) -> Fault | None:
    """The limit that a value exceeds, if any. Takes any Python value of any depth: it does not recurse."""
    levels: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    size = values = 0
    while levels:
        path, one = levels.pop()
        values += 1
        match one:
            case Mapping() | list() if len(path) >= MAX_DEPTH:
                return _too_deep(pointer(path))
            case Mapping():
                if not all(isinstance(key, str) for key in one):
                    return Fault(pointer(path), "the names of an object's fields are strings")
                size += sum(len(key) + 3 for key in one)
                values += len(one)
                levels.extend(((*path, key), item) for key, item in one.items())
            case list():
                size += len(one)
                levels.extend(((*path, index), item) for index, item in enumerate(one))
            case str():
                size += len(one)
            case None | bool() | int() | float():
                size += 1
            case _:
                return Fault(pointer(path), f"{type(one).__name__} is not a JSON value")
        if size > MAX_BYTES or values > MAX_VALUES:
            return _too_large()
    return _unwritable(document)


def _unwritable(document: object) -> Fault | None:
    """Whatever JSON cannot carry and the walk did not see: lone surrogates, integers past 64 bits, not-a-number."""
    try:
        data = orjson.dumps(document)
    except TypeError as error:
        return Fault("", f"this cannot be written as JSON: {error}")
    return _too_large() if len(data) > MAX_BYTES else None


def _too_large() -> Fault:
    return Fault("", f"the document has more than {MAX_BYTES} bytes or {MAX_VALUES} values", "make it smaller")


def _too_deep(at: str) -> Fault:
    return Fault(at, f"the document is more than {MAX_DEPTH} levels deep", "make it flatter")
