"""Values held against JSON Schemas. Both may be a stranger's, so the work is counted and has a limit. Pure.

A short schema and a short list can be hours of work together: each of two hundred alternatives is tried on each item.
Regular expressions of others are passed over: Python may match one for ever, and nothing else runs meanwhile.
References stay within the schema: nothing is fetched.
"""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any

import jsonschema
import orjson
from jsonschema.exceptions import UnknownType
from jsonschema.protocols import Validator as Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

Json = Any
Error = jsonschema.ValidationError
Errors = Iterator[Error]

_ERROR = 4
"""To make a message costs as much as so many checks."""
_REFERENCE = 8
"""To follow a reference, too."""
_BYTES = 64
"""So many bytes of a value in a message cost as much as a check."""
_INTEGERS = 2**63
"""Where those of JSON end; what is larger is a float anyway."""
_NAMES = 16
"""So many names are looked up, or values walked, in the time of a check."""


class TooMuch(Exception):
    """The work that was allowed is done, or the value is nested too deeply to be checked."""


class UnusableSchema(Exception):
    """The schema is none, or has a reference that leads nowhere. The text says which."""


class Work:
    """Checks of one value by one keyword, about two microseconds each, of which only so many may be done."""

    def __init__(self, checks: int) -> None:
        self._left = checks

    def do(self, amount: int) -> None:
        """Raise `TooMuch` when no more may be done."""
        self._left -= amount
        if self._left < 0:
            raise TooMuch


_work: ContextVar[Work] = ContextVar("work")


def validator(schema: Mapping[str, Json], *, own: bool = False) -> Validator:
    """A validator of a schema, for `errors`. Regular expressions count if they are our `own`."""
    cls = _Own if own else _Foreign
    made: Validator = cls(dict(schema), registry=Registry())
    return made


def require(schema: Mapping[str, Json]) -> None:
    """Raise `UnusableSchema` unless it is a JSON Schema. Some tenths of a millisecond for each of its values."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UnusableSchema(f"{error.message} at {error.json_path}") from error


def errors(against: Validator, value: Json, *, work: Work, at_most: int) -> Errors:
    """The first errors of a value. Raises `TooMuch`, also after some, and `UnusableSchema`."""
    found = islice(against.iter_errors(value), at_most)
    while True:
        token = _work.set(work)
        try:
            error = next(found, None)
        except RecursionError as cause:
            raise TooMuch from cause
        except _UNREADABLE as cause:
            raise UnusableSchema(str(cause)[:200]) from cause
        finally:
            _work.reset(token)
        if error is None:
            return
        yield error


_UNREADABLE = (UnknownType, Unresolvable, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What checking against a schema that is none ends in: a server's word is taken as it is."""


def _counted(keyword: str, check: Callable[..., Errors | None]) -> Callable[..., Errors]:
    def counted(validator: Any, value: Json, instance: Json, schema: Json) -> Errors:
        work = _work.get()
        work.do(_cost(keyword, value, instance, schema))
        if never := _never(value):  # each says so and quotes the instance
            work.do(never * _bytes(instance) // _BYTES)
        for error in check(validator, value, instance, schema) or ():
            if not error.schema_path:  # it is this keyword's own, and its message may quote both
                work.do(_ERROR + (_bytes(instance) + _bytes(value)) // _BYTES)
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
        case "uniqueItems":
            return 1 + (_values(instance) if many else 0)
        case "properties":
            return 1 + min(len(value), many) + len(value) // _NAMES
        case "if":
            return 3
        case "const" | "enum":  # what is compared with a list or an object is compared throughout
            return 1 + (_values(value) if many else len(value) if isinstance(value, list | dict) else 0) // _NAMES
        case "required" | "dependentRequired" | "dependentSchemas":
            return 1 + len(value) // _NAMES
        case "$ref" | "$dynamicRef":
            return _REFERENCE
        case _:
            return 1


def _bytes(value: Json) -> int:
    return len(_text(value))


def _text(value: Json) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:  # it is nested too deeply
        raise TooMuch from error


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


def _unique(_: Any, wanted: Json, instance: Json, __: Any) -> Errors:
    """`uniqueItems` in one pass; the library's compares each with each where they cannot be sorted.

    Texts are what nobody can choose so that many have the same hash.
    """
    if wanted and isinstance(instance, list) and len({_text(_whole(item)) for item in instance}) < len(instance):
        yield Error("has an item twice")


def _whole(value: Json) -> Json:
    """A value with 1 for each 1.0, which JSON Schema takes for the same."""
    match value:
        case list():
            return [_whole(one) for one in value]
        case dict():
            return {name: _whole(one) for name, one in value.items()}
        case float() if value.is_integer() and abs(value) < _INTEGERS:
            return int(value)
        case _:
            return value


def _passed_over(*_: Any) -> Errors:
    yield from ()


def _additional(validator: Any, value: Json, instance: Json, schema: Json) -> Errors:
    if "patternProperties" not in schema:
        yield from _LIBRARY["additionalProperties"](validator, value, instance, schema)


_LIBRARY: Mapping[str, Any] = jsonschema.Draft202012Validator.VALIDATORS


def _counting(**keywords: Callable[..., Errors]) -> Any:
    known = {**_LIBRARY, "uniqueItems": _unique, **keywords}
    counted = {name: _counted(name, check) for name, check in known.items()}
    return jsonschema.validators.extend(jsonschema.Draft202012Validator, counted)  # type: ignore[no-untyped-call]


_Own = _counting()
_Foreign = _counting(pattern=_passed_over, patternProperties=_passed_over, additionalProperties=_additional)
