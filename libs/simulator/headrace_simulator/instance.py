"""The smallest value that a JSON Schema allows, as far as its plain keywords say. Pure."""

from collections.abc import Mapping
from math import ceil
from typing import Any

MAX_DEPTH = 32
"""A schema that goes deeper gets null there."""
MAX_VALUES = 10_000
MAX_CHARACTERS = 100_000
"""Of one text."""
_FORMATS = {
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "a@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_BROKEN = (TypeError, ValueError, AttributeError, KeyError, IndexError, ArithmeticError, RecursionError)


class NotASchema(Exception):
    """It cannot be read as a JSON Schema, or even its smallest value is too large."""


def smallest(schema: object) -> Any:
    """Build it: only what is required, the first of what may be chosen, a default or example where there is one.

    Keywords that tell only good from bad (pattern, not, if, uniqueItems, contains) are not read. Raises `NotASchema`.
    """
    try:
        return _Builder(schema).value(schema, MAX_DEPTH)
    except _BROKEN as error:
        raise NotASchema(f"the schema cannot be read: {error}") from error


class _Builder:
    def __init__(self, root: object) -> None:
        self._root = root
        self._left = MAX_VALUES

    def value(self, schema: object, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise NotASchema(f"its smallest value has more than {MAX_VALUES} parts")
        if not isinstance(schema, Mapping) or depth <= 0:
            return None
        schema = self._resolved(schema)
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        for listed in ("enum", "examples"):
            if schema.get(listed):
                return schema[listed][0]
        for choice in ("anyOf", "oneOf", "allOf"):
            if schema.get(choice):
                merged: Mapping[str, Any] = {key: value for key, value in schema.items() if key != choice}
                for part in schema[choice][: None if choice == "allOf" else 1]:
                    merged = _both(merged, self._resolved(part))
                return self.value(merged, depth - 1)
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type") or _implied(schema)
        kind = kind if isinstance(kind, str) else kind[0]
        if kind == "object":
            properties = schema.get("properties", {})
            return {name: self.value(properties.get(name, {}), depth - 1) for name in schema.get("required", ())}
        if kind == "array":
            first, count = schema.get("prefixItems", []), schema.get("minItems", 0)
            each = (first[at] if at < len(first) else schema.get("items", {}) for at in range(count))
            return [self.value(item, depth - 1) for item in each]
        if kind == "string":
            return _text(schema)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        return False if kind == "boolean" else None

    def _resolved(self, schema: object) -> Mapping[str, Any]:
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, Mapping):
                return {}
            target = schema.get("$ref")
            if not isinstance(target, str) or not target.startswith("#"):
                return schema
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = _both(rest, self._at(target))
        return {}

    def _at(self, pointer: str) -> Mapping[str, Any]:
        found: Any = self._root
        for part in pointer.split("/")[1:]:
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return found if isinstance(found, Mapping) else {}


def _implied(schema: Mapping[str, Any]) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "null"


def _text(schema: Mapping[str, Any]) -> str:
    least = schema.get("minLength", 0)
    if least > MAX_CHARACTERS:
        raise NotASchema(f"minLength is more than {MAX_CHARACTERS}")
    known = _FORMATS.get(schema.get("format", ""))
    return known if known is not None else "text".ljust(least, "x")[: schema.get("maxLength", MAX_CHARACTERS)]


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    """0 when it may be, else the bound nearest to it, or the multiple next to that."""
    low, high = _bound(schema, "inimum"), _bound(schema, "aximum")
    sign = -1 if high is not None and (high[0] < 0 or (high[0] == 0 and high[1])) else 1
    near, far = (low, high) if sign == 1 else (high, low)
    if near is None or sign * near[0] < 0 or (near[0] == 0 and not near[1]):
        return 0
    step = schema.get("multipleOf", 1)
    steps = ceil(sign * near[0] / step)
    found = sign * step * (steps + 1 if near[1] and steps * step == sign * near[0] else steps)
    if not whole and "multipleOf" not in schema and far is not None and sign * found >= sign * far[0]:
        found = (near[0] + far[0]) / 2
    return int(found) if whole else found


def _bound(schema: Mapping[str, Any], name: str) -> tuple[float, bool] | None:
    """The stricter of, say, minimum and exclusiveMinimum, and whether it is itself left out."""
    plain, exclusive = schema.get(f"m{name}"), schema.get(f"exclusiveM{name}")
    if exclusive is None:
        return None if plain is None else (plain, False)
    lax = plain is not None and (plain > exclusive if name == "inimum" else plain < exclusive)
    return (plain, False) if lax and plain is not None else (exclusive, True)


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*dict.fromkeys([*one["required"], *other["required"]])]
    return merged
