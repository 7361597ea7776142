"""The JSON Schemas of tools' arguments: whether one can be used, and whether arguments satisfy it. Pure.

Schemas come from files, specs and servers. References stay within the schema (another document would have to be fetched),
and none leads back to itself without passing a value (checking would never end). Checking is counted.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from headrace_blueprint import metaschema
from headrace_schemas import counted

from headrace_tools.errors import ToolFailed
from headrace_tools.limits import (
    CHECK_STEPS_AT_ONCE,
    MAX_ARGUMENTS_BYTES,
    MAX_CHECK_STEPS,
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
)
from headrace_tools.model import Json

MAX_IN_PLACE = 1000
"""Schemas that one value is checked against."""
MAX_FAULTS = 50
"""Of a call's arguments that are looked for."""
SHOWN_FAULTS = 5
"""Of those, the first by their place; the rest is not said."""

_REFERENCES = ("$ref", "$dynamicRef")
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")
_TOO_MANY = MAX_IN_PLACE + 1


def fault(schema: Json) -> str | None:
    """Why a schema cannot be that of a tool's arguments, or None."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return "must be a JSON Schema with `type: object`"
    try:
        size = len(orjson.dumps(schema))
    except (orjson.JSONEncodeError, RecursionError):
        return "has what JSON cannot say, or is nested too deeply"
    if size > MAX_SCHEMA_BYTES:
        return f"is larger than {MAX_SCHEMA_BYTES} bytes"
    if _depth(schema) > MAX_SCHEMA_DEPTH:
        return f"is nested more than {MAX_SCHEMA_DEPTH} levels deep"
    wrong = next(_malformed(schema), None)
    if wrong is not None:
        return f"is no JSON Schema: {wrong}"
    return _reference_fault(schema)


def check(name: str, validator: counted.Validator, arguments: Mapping[str, Json]) -> None:
    """Raise `ToolFailed` when arguments are not those of the tool `name`, or take `MAX_CHECK_STEPS` to find out."""
    if not _checked(name, validator, arguments, MAX_CHECK_STEPS):
        said = f"the arguments of {name} take more than {MAX_CHECK_STEPS} steps to check; pass fewer values"
        raise ToolFailed(said, reason="invalid")


def checked_at_once(name: str, validator: counted.Validator, arguments: Mapping[str, Json]) -> bool:
    """Like `check`, but False, and no more is known, when it takes more than `CHECK_STEPS_AT_ONCE`."""
    return _checked(name, validator, arguments, CHECK_STEPS_AT_ONCE)


def _checked(name: str, validator: counted.Validator, arguments: Mapping[str, Json], steps: int) -> bool:
    try:
        if len(orjson.dumps(arguments)) > MAX_ARGUMENTS_BYTES:
            raise ToolFailed(f"the arguments of {name} are larger than {MAX_ARGUMENTS_BYTES} bytes", reason="invalid")
        found = counted.errors(validator, arguments, work=counted.Work(steps), at_most=MAX_FAULTS)
        wrong = sorted(found, key=lambda one: list(map(str, one.absolute_path)))
    except counted.TooMuch:
        return False
    except orjson.JSONEncodeError as error:
        raise ToolFailed(f"the arguments of {name} are no JSON, or nested too deeply", reason="invalid") from error
    except counted.UnusableSchema as error:
        raise ToolFailed(f"the schema of {name}'s arguments cannot be used: {error}", reason="failed") from error
    if wrong:
        said = "; ".join(f"{one.json_path}: {one.message[:200]}" for one in wrong[:SHOWN_FAULTS])
        raise ToolFailed(f"the arguments are not those of {name}: {said}", reason="invalid")
    return True


def _malformed(schema: dict[str, Any]) -> Iterator[str]:
    """What the metaschema does not allow. What it cannot say, as it is not for tools alone, is looked at here."""
    for path, said in metaschema.errors(schema):
        place = "/".join(map(str, path))[:200]
        match path[-1:], _at(schema, path):
            case _ if said:
                yield f"{place}: {said[:200]}"
            case ("$ref" | "$dynamicRef",), str():
                continue
            case ("pattern",), str() as pattern:
                yield from _expression(pattern)
            case ("patternProperties",), dict() as named:
                for pattern, one in named.items():
                    yield from _expression(pattern)
                    yield from _malformed(one) if isinstance(one, dict) else ()
            case _:
                yield f"{place}: is of another type"


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else value[int(part)]
    return value


def _expression(pattern: str) -> Iterator[str]:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        yield f"{pattern[:100]!r} is no regular expression: {error}"


def _depth(value: Json) -> int:
    deepest, levels = 0, [(1, value)]
    while levels:
        level, one = levels.pop()
        deepest = max(deepest, level)
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        levels += [(level + 1, child) for child in inner]
    return deepest


def _reference_fault(schema: dict[str, Any]) -> str | None:
    parts = list(_parts(schema))
    for part in parts:
        for keyword in _REFERENCES:
            reference = part.get(keyword)
            if isinstance(reference, str) and reference.startswith("#") and resolved(schema, reference) is None:
                return f"refers to {reference[:100]!r}, which it does not have"
            if isinstance(reference, str) and not reference.startswith("#"):
                return f"refers to another document, {reference[:100]!r}; write it out in place"
    in_place = _InPlace(schema)
    if any(in_place.endless(part) for part in parts):
        return "has a $ref that leads back to itself, or alternatives that are too many to check"
    return None


def resolved(document: Mapping[str, Any], reference: str) -> dict[str, Any] | None:
    """The object that a reference such as #/$defs/pupil leads to in a document, or None."""
    one: Any = document
    for part in reference.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(one, list):
            one = one[int(key)] if key.isdecimal() and int(key) < len(one) else None
        else:
            one = one.get(key) if isinstance(one, dict) else None
    return one if isinstance(one, dict) and (reference == "#" or reference.startswith("#/")) else None


def _parts(value: Json) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            yield one
            pending += one.values()
        elif isinstance(one, list):
            pending += one


class _InPlace:
    """How many schemas the same value is checked against; what was counted is not counted again."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._known: dict[int, tuple[int, int]] = {}

    def endless(self, part: dict[str, Any]) -> bool:
        """Whether checking one value against a part takes too many others with the same value, or never ends."""
        count, height = self._counted(part, 0)
        return count > MAX_IN_PLACE or height > MAX_SCHEMA_DEPTH

    def _counted(self, part: Json, depth: int) -> tuple[int, int]:
        if not isinstance(part, dict):
            return 1, 1
        if depth > MAX_SCHEMA_DEPTH:
            return _TOO_MANY, depth
        known = self._known.get(id(part))
        if known is None:
            self._known[id(part)] = _TOO_MANY, 1  # for one that leads back to it
            count, height = 1, 0
            for child in _in_place(self._document, part):
                more, deep = self._counted(child, depth + 1)
                count, height = min(count + more, _TOO_MANY), max(height, deep)
                if count > MAX_IN_PLACE:
                    break
            known = self._known[id(part)] = count, height + 1
        return known


def _in_place(document: dict[str, Any], part: dict[str, Any]) -> Iterator[Json]:
    for keyword, value in part.items():
        if keyword in _REFERENCES and isinstance(value, str):
            yield resolved(document, value)
        elif keyword in _LISTS and isinstance(value, list):
            yield from value
        elif keyword in _SINGLE:
            yield value
        elif keyword == "dependentSchemas" and isinstance(value, dict):
            yield from value.values()
