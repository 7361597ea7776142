"""The JSON Schemas of tools' arguments: whether one can be used, and whether arguments satisfy it. Pure.

Schemas come from files, specs and servers. References stay within the schema (another document would have to be fetched),
and none leads back to itself without passing a value (checking would never end).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import orjson
from jsonschema.protocols import Validator
from referencing import Registry

from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_ARGUMENTS_BYTES, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH
from headrace_tools.model import Json

MAX_IN_PLACE = 1000
"""Schemas that one value is checked against."""
SHOWN_FAULTS = 5
"""Of a call's arguments; the rest is not said."""

_REFERENCES = ("$ref", "$dynamicRef")
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")


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
    meta = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    wrong = next(iter(meta.iter_errors(schema)), None)
    if wrong is not None:
        return f"is no JSON Schema: {wrong.json_path}: {wrong.message[:200]}"
    return _reference_fault(schema)


def compiled(schema: Mapping[str, Any]) -> Validator:
    """A validator of a schema without `fault`. It fetches nothing."""
    validator: Validator = jsonschema.Draft202012Validator(dict(schema), registry=Registry())
    return validator


def check(name: str, validator: Validator, arguments: Mapping[str, Json]) -> None:
    """Raise `ToolFailed` when arguments are not those of the tool `name`."""
    try:
        size = len(orjson.dumps(arguments))
        wrong = sorted(validator.iter_errors(arguments), key=lambda one: list(map(str, one.absolute_path)))
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise ToolFailed(f"the arguments of {name} are no JSON, or nested too deeply", reason="invalid") from error
    if size > MAX_ARGUMENTS_BYTES:
        raise ToolFailed(f"the arguments of {name} are larger than {MAX_ARGUMENTS_BYTES} bytes", reason="invalid")
    if wrong:
        said = "; ".join(f"{one.json_path}: {one.message[:200]}" for one in wrong[:SHOWN_FAULTS])
        raise ToolFailed(f"the arguments are not those of {name}: {said}", reason="invalid")


def _depth(value: Json) -> int:
    deepest, levels = 0, [(1, value)]
    while levels:
        level, one = levels.pop()
        deepest = max(deepest, level)
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        levels += [(level + 1, child) for child in inner]
    return deepest


def _reference_fault(schema: dict[str, Any]) -> str | None:
    for part in _parts(schema):
        for keyword in _REFERENCES:
            reference = part.get(keyword)
            if isinstance(reference, str) and reference.startswith("#") and resolved(schema, reference) is None:
                return f"refers to {reference[:100]!r}, which it does not have"
            if isinstance(reference, str) and not reference.startswith("#"):
                return f"refers to another document, {reference[:100]!r}; write it out in place"
    if any(_endless(schema, part) for part in _parts(schema)):
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


def _endless(document: dict[str, Any], start: dict[str, Any]) -> bool:
    """Whether checking one value against a part takes too many others with the same value, or never ends."""
    pending: list[tuple[int, Json]] = [(0, start)]
    for _ in range(MAX_IN_PLACE):
        if not pending:
            return False
        depth, part = pending.pop()
        if depth > MAX_SCHEMA_DEPTH:
            return True
        if isinstance(part, dict):
            pending += [(depth + 1, child) for child in _in_place(document, part)]
    return True


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
