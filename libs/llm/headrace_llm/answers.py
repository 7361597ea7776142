"""Answers that must be JSON: out of their fence, and held against the schema. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
from headrace_runtime import errors

MAX_FAULTS = 20
"""Faults of one answer that are listed; a repair needs no more."""

_FENCE = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL | re.IGNORECASE)

Validator = jsonschema.Draft202012Validator


def validator(schema: Mapping[str, Any]) -> Validator:
    """Compile a schema, which may refer to nothing outside itself. Raises `InvalidArgument` when it is no JSON Schema."""
    try:
        Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise errors.InvalidArgument(f"not a JSON Schema: {error.message} at {error.json_path}"[:500]) from error
    return Validator(schema, registry=referencing.Registry())


def unfence(text: str) -> str:
    """The text without a Markdown fence around all of it."""
    match = _FENCE.match(text)
    return match.group(1) if match else text.strip()


def faults(text: str, against: Validator) -> Sequence[str]:
    """What is wrong with an answer, each as "JSON pointer: message"; nothing when it satisfies the schema.

    Raises `InvalidArgument` when the schema refers to something that it does not have.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return [f": not JSON: {error}"]
    try:
        found = sorted(against.iter_errors(value), key=lambda fault: [str(part) for part in fault.absolute_path])
    except referencing.exceptions.Unresolvable as error:
        raise errors.InvalidArgument(f"the JSON Schema refers to nothing: {error.ref}"[:500]) from error
    except RecursionError:
        return [": nested too deeply"]
    return [f"{_pointer(fault.absolute_path)}: {fault.message[:300]}" for fault in found[:MAX_FAULTS]]


def _pointer(path: Sequence[Any]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
