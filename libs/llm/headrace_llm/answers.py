"""Answers that must be JSON: out of their fence, and held against the schema in so much work. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from headrace_runtime import errors
from headrace_schemas import counted

MAX_FAULTS = 20
"""Faults of one answer that are listed; a repair needs no more."""
MAX_WORK = 50_000
"""Checks of one answer, about two microseconds each: the schema is a user's, and the answer may be long."""

TOO_MUCH = f": the answer takes more than {MAX_WORK} checks against its schema; a shorter one or a simpler schema is needed"

_FENCE = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL | re.IGNORECASE)

Validator = counted.Validator


def validator(schema: Mapping[str, Any]) -> Validator:
    """Compile a schema, which may refer to nothing outside itself. Its regular expressions count: a blueprint's has none.

    Raises `InvalidArgument` when it is no JSON Schema.
    """
    try:
        counted.require(schema)
    except counted.UnusableSchema as error:
        raise errors.InvalidArgument(f"not a JSON Schema: {error}"[:500]) from error
    return counted.validator(schema, own=True)


def unfence(text: str) -> str:
    """The text without a Markdown fence around all of it."""
    match = _FENCE.match(text)
    return match.group(1) if match else text.strip()


def faults(text: str, against: Validator) -> Sequence[str]:
    """What is wrong with an answer, each as "JSON pointer: message"; nothing when it satisfies the schema.

    Raises `InvalidArgument` when the schema refers to something that it does not have.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return [f": not JSON: {error}"]
    found: list[counted.Error] = []
    more: list[str] = []
    try:
        found.extend(counted.errors(against, value, work=counted.Work(MAX_WORK), at_most=MAX_FAULTS))
    except counted.TooMuch:
        more.append(TOO_MUCH)
    except counted.UnusableSchema as error:
        raise errors.InvalidArgument(f"the JSON Schema cannot be used: {error}"[:500]) from error
    found.sort(key=lambda fault: [str(part) for part in fault.absolute_path])
    return [*(f"{_pointer(fault.absolute_path)}: {fault.message[:300]}" for fault in found), *more]


def _pointer(path: Sequence[Any]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
