"""The inputs of a run, held against the blueprint's own JSON Schema, in so much work. Pure."""

from collections.abc import Mapping
from typing import Any

from headrace_schemas import counted

Json = Any

MAX_WORK = 30_000
"""Checks for all inputs of a run together, about two microseconds each."""
MAX_FAULTS = 100
"""Faults that are listed."""
MAX_MESSAGE = 200

TOO_MUCH = f"the inputs need more than {MAX_WORK} checks against their schema; give fewer values or a simpler schema"


def faults(schema: Mapping[str, Json], given: Json) -> list[tuple[tuple[str | int, ...], str]]:
    """Where inputs do not fit their schema, and why; at the end, with an empty place, that there was too much to check."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    validator = counted.validator({"type": "object", **schema})
    try:
        errors = counted.errors(validator, given, work=counted.Work(MAX_WORK), at_most=MAX_FAULTS)
        found.extend((tuple(error.absolute_path), error.message[:MAX_MESSAGE]) for error in errors)
    except counted.TooMuch:
        found.append(((), TOO_MUCH))
    return found
