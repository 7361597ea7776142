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

Path = tuple[str | int, ...]

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


def faults(schema: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    """What is wrong with a user's schema; `at` is its place in the document."""
    for error in jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA).iter_errors(schema):
        yield Fault(pointer((*at, *error.absolute_path)), f"not a JSON Schema: {_message(error)}")
    for path, one in _subschemas(schema, at):
        for keyword in sorted(_REFUSED.keys() & one.keys()):
            yield Fault(pointer((*path, keyword)), f"{keyword} is not allowed here", _REFUSED[keyword])


def argument_faults(schema: Mapping[str, Any], arguments: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    """What is wrong with a tool's arguments. A value that a reference brings in is not known yet and is passed over."""
    validator: Validator = jsonschema.Draft202012Validator(dict(schema))
    for error in validator.iter_errors(arguments):
        if error.validator == "additionalProperties":
            continue  # said field by field, with the nearest name, by the caller
        if error.validator == "required" or not _has_reference(error.instance):
            yield Fault(pointer((*at, *error.absolute_path)), _message(error), _required_hint(error))


def properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema's properties; empty when there are none or they are malformed."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


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
