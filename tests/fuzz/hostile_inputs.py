"""The costliest inputs that we can think of: each with the schema, short as it may be, that makes work of them."""

from collections.abc import Mapping
from typing import Any

Json = Any

ITEMS = 5_000
ONES: Json = {"a": [1] * ITEMS}
LARGE: Json = {"a": [1] * 400_000}
NAMES = [f"p{index}" for index in range(900)]
ANY: Json = {name: {} for name in NAMES}
TEXT: Json = {"type": "string"}


def of(**schema: Json) -> Json:
    """A schema of one input."""
    return {"properties": {"a": schema}}


def each(**schema: Json) -> Json:
    """A schema of a list."""
    return of(items=schema)


PAIRS: Mapping[str, tuple[Json, Json]] = {
    "numbers": (each(type="number"), {"a": [1.5] * 14_000}),
    "all of": (each(allOf=[{}] * 200), ONES),
    "any of": (each(anyOf=[*[TEXT] * 180, {}]), ONES),
    "none of any": (each(anyOf=[{"anyOf": [TEXT] * 60}] * 30), ONES),
    "one of": (each(oneOf=[TEXT] * 180), ONES),
    "not": (each(allOf=[{"not": {}}] * 200), ONES),
    "if": (each(allOf=[{"if": TEXT, "then": {}, "else": {}}] * 200), ONES),
    "multiples": (each(allOf=[{"multipleOf": 0.1}] * 200), {"a": [1.1] * ITEMS}),
    "contained": (each(allOf=[{"contains": TEXT, "minContains": 0}] * 100), {"a": [[1] * 50] * ITEMS}),
    "unique objects": (of(uniqueItems=True), {"a": [{"a": index} for index in range(ITEMS)]}),
    "unique numbers": (of(uniqueItems=True), {"a": list(range(29_000))}),
    "unique anything": (of(uniqueItems=True), {"a": [*range(ITEMS), *map(str, range(ITEMS))]}),
    "absent properties": (each(properties=ANY), {"a": [{}] * ITEMS}),
    "properties": (each(properties=ANY), {"a": [dict.fromkeys(NAMES, 1)] * 100}),
    "other properties": (
        each(properties=ANY, additionalProperties={}),
        {"a": [{f"q{index}": 1 for index in range(10)}] * ITEMS},
    ),
    "names": (each(propertyNames={"allOf": [{"maxLength": 9}] * 200}), {"a": [dict.fromkeys(NAMES[:10], 1)] * ITEMS}),
    "required": (each(required=NAMES[:199]), {"a": [{}] * ITEMS}),
    "dependent": (
        each(dependentRequired={name: [f"q{name}"] for name in NAMES[:400]}),
        {"a": [dict.fromkeys(NAMES[:20], 1)] * ITEMS},
    ),
    "enum": (each(enum=NAMES[:199]), ONES),
    "enum of lists": (each(enum=[[[1] * 50 + [index]] for index in range(30)]), {"a": [[[1] * 50 + [99]]] * ITEMS}),
    "long enum": (each(anyOf=[{"enum": ["x" * 500_000]}] * 9), ONES),
    "quoted whole": (of(allOf=[TEXT] * 200), LARGE),
    "quoted whole, of any": (of(anyOf=[TEXT] * 200), LARGE),
    "never": (of(anyOf=[False] * 200), LARGE),
    "never where it depends": (
        of(dependentSchemas=dict.fromkeys(NAMES[:190], False)),
        {"a": dict.fromkeys(NAMES, "x" * 999)},
    ),
    "unevaluated": (each(allOf=[{"properties": {"a": {}}}] * 190, unevaluatedProperties=False), {"a": [{"a": 1}] * ITEMS}),
    "unevaluated inside": (
        of(allOf=[{"anyOf": [{"unevaluatedItems": {"unevaluatedItems": {}}}] * 20}] * 20, unevaluatedItems={}),
        {"a": [[1] * 30] * 30},
    ),
}
