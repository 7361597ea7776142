"""The inputs of a run, held against the blueprint's own JSON Schema. Both are a stranger's, so the work has a limit. Pure.

A short schema and a short list can be hours of work together: each of two hundred alternatives is tried on each item.
"""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any

import jsonschema
import orjson

Json = Any
Errors = Iterator[jsonschema.ValidationError]

MAX_WORK = 30_000
"""Checks of one value by one keyword, about two microseconds each, for all inputs of a run together."""
MAX_FAULTS = 100
"""Faults that are listed."""
MAX_MESSAGE = 200
_ERROR = 4
"""To make a message costs as much as so many checks."""
_BYTES = 64
"""So many bytes of a value in a message cost as much as a check."""
_NAMES = 16
"""So many names are looked up in the time of a check."""

TOO_MUCH = f"the inputs need more than {MAX_WORK} checks against their schema; give fewer values or a simpler schema"


class _TooMuch(Exception):
    """`MAX_WORK` is done."""


class _Work:
    def __init__(self) -> None:
        self._left = MAX_WORK

    def do(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise _TooMuch


_work: ContextVar[_Work] = ContextVar("work")


def faults(schema: Mapping[str, Json], given: Json) -> list[tuple[tuple[str | int, ...], str]]:
    """Where inputs do not fit their schema, and why; at the end, with an empty place, that there was too much to check."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    token = _work.set(_Work())
    try:
        errors = islice(_Validator({"type": "object", **schema}).iter_errors(given), MAX_FAULTS)
        found.extend((tuple(error.absolute_path), error.message[:MAX_MESSAGE]) for error in errors)
    except (_TooMuch, RecursionError):
        found.append(((), TOO_MUCH))
    finally:
        _work.reset(token)
    return found


def _counted(keyword: str, check: Callable[..., Errors | None]) -> Callable[..., Errors]:
    def counted(validator: Any, value: Json, instance: Json, schema: Json) -> Errors:
        work = _work.get()
        work.do(_cost(keyword, value, instance, schema))
        if never := _never(value):  # each says so and quotes the instance
            work.do(never * len(orjson.dumps(instance)) // _BYTES)
        for error in check(validator, value, instance, schema) or ():
            if not error.schema_path:  # it is this keyword's own, and its message may quote both
                work.do(_ERROR + (len(orjson.dumps(instance)) + len(orjson.dumps(value))) // _BYTES)
            yield error

    return counted


def _cost(keyword: str, value: Json, instance: Json, schema: Json) -> int:
    """How much one keyword has to do beside what it leaves to others."""
    many = len(instance) if isinstance(instance, list | dict) else 0
    match keyword:
        case "allOf" | "anyOf" | "oneOf" | "prefixItems":
            return 1 + len(value)
        case "items" | "contains" | "propertyNames" | "additionalProperties":
            return 1 + many
        case "unevaluatedItems" | "unevaluatedProperties":  # it looks at all that stands beside it again
            return 1 + (1 + many) * _values(schema)
        case "uniqueItems":  # what cannot be sorted is compared with each other
            return 1 + (many if isinstance(instance, list) and _alike(instance) else many * many // 2)
        case "properties":
            return 1 + min(len(value), many) + len(value) // _NAMES
        case "if":
            return 3
        case "required" | "enum" | "dependentRequired" | "dependentSchemas":
            return 1 + len(value) // _NAMES
        case _:
            return 1


def _never(value: Json) -> int:
    """How many schemas are false, which nothing fits, in what a keyword is given."""
    match value:
        case dict():
            return sum(one is False for one in value.values())
        case list():
            return sum(one is False for one in value)
        case _:
            return int(value is False)


def _values(value: Json) -> int:
    count, level = 0, [value]
    while level:
        count += len(level)
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [item for one in inner for item in one]
    return count


def _alike(items: list[Json]) -> bool:
    kinds = {type(item) for item in items}
    return kinds <= {int, float} or kinds == {str}


_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    {name: _counted(name, check) for name, check in jsonschema.Draft202012Validator.VALIDATORS.items()},
)
