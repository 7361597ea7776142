"""JSON Schemas inside a blueprint: the inputs', a compose node's, and tools' arguments checked against theirs.

A user's schema stands alone and is cheap to check with: no `$ref` (which may fetch or never end), no regular expressions
(which Python may take for ever to match).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
from jsonschema.protocols import Validator

from headrace_blueprint import references
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.shapes import nearest

Path = tuple[str | int, ...]

MAX_VALUES = 2000
"""Most values that the schemas of one document have together, and that one node's arguments have."""
MAX_LIST = 200
"""Longest list in a schema: whether its items are unique takes time by the square of it."""

_REFUSED = {
    "$ref": "write the schema out in place",
    "$dynamicRef": "write the schema out in place",
    "pattern": "use enum, minLength or maxLength",
    "patternProperties": "name the properties",
}
_ONE = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems"}
    | {"unevaluatedProperties"}
)
_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})


class Schemas:
    """The schemas of one document. Their size is bounded together, since each value costs a tenth of a millisecond."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def faults(self, schema: Mapping[str, Any], at: Path) -> Iterator[Fault]:
        """What is wrong with a schema; `at` is its place in the document."""
        values, longest = _extent(schema)
        self._left -= values
        if self._left < 0:
            yield Fault(pointer(at), f"the schemas have more than {MAX_VALUES} values together", "make them smaller")
        elif longest > MAX_LIST:
            yield Fault(pointer(at), f"a schema has a list of more than {MAX_LIST} items", "make it shorter")
        else:
            yield from _faults(schema, at)


def _extent(schema: Any) -> tuple[int, int]:
    """How many values a schema has, and how long its longest list is."""
    values = longest = 0
    pending = [schema]
    while pending:
        one = pending.pop()
        values += 1
        if isinstance(one, Mapping):
            pending.extend(one.values())
        elif isinstance(one, list):
            longest = max(longest, len(one))
            pending.extend(one)
    return values, longest


def _faults(schema: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    for error in jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA).iter_errors(schema):
        yield Fault(pointer((*at, *error.absolute_path)), f"not a JSON Schema: {_message(error)}")
    for path, one in _subschemas(schema, at):
        for keyword in sorted(_REFUSED.keys() & one.keys()):
            yield Fault(pointer((*path, keyword)), f"{keyword} is not allowed here", _REFUSED[keyword])


def argument_faults(schema: Mapping[str, Any], arguments: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    """What is wrong with a tool's arguments. A value that a reference brings in is not known yet and is passed over."""
    if _extent(arguments)[0] > MAX_VALUES:
        yield Fault(pointer(at), f"the arguments have more than {MAX_VALUES} values", "give fewer")
        return
    validator: Validator = jsonschema.Draft202012Validator(dict(schema))
    for error in validator.iter_errors(arguments):
        if error.validator == "additionalProperties":
            yield from _unknown(schema, arguments, at)
            continue
        if error.validator == "required" or not _has_reference(error.instance):
            yield Fault(pointer((*at, *error.absolute_path)), _message(error), _required_hint(error))


def properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema's properties; empty when there are none or they are malformed."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _unknown(schema: Mapping[str, Any], arguments: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    known = properties(schema)
    for name in arguments:
        if name not in known:
            yield Fault(pointer((*at, name)), f"there is no argument {name[:64]!r} here", nearest(name, known))


def _has_reference(value: Any) -> bool:
    return any("${" in text for _, text in references.strings(value))


def _message(error: jsonschema.ValidationError) -> str:
    return error.message if len(error.message) <= 300 else f"{error.message[:300]}…"


def _required_hint(error: jsonschema.ValidationError) -> str:
    return "add it" if error.validator == "required" else ""


def _subschemas(schema: Mapping[str, Any], at: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    pending: list[tuple[Path, Any]] = [(at, schema)]
    while pending:
        path, one = pending.pop()
        if not isinstance(one, Mapping):
            continue
        yield path, one
        for keyword, value in one.items():
            if keyword in _ONE:
                pending.append(((*path, keyword), value))
            elif keyword in _MANY and isinstance(value, list):
                pending.extend(((*path, keyword, index), item) for index, item in enumerate(value))
            elif keyword in _NAMED and isinstance(value, Mapping):
                pending.extend(((*path, keyword, str(name)), item) for name, item in value.items())
