"""The smallest value that a JSON Schema allows, as far as its plain keywords say. Pure."""

from collections.abc import Mapping
from math import ceil
from typing import Any

MAX_DEPTH = 32
"""A schema that goes deeper gets null there."""
_FORMATS = {
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "a@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def smallest(schema: object) -> Any:
    """Build it: only what is required, the first of what may be chosen, an example or default where one is given."""
    return _value(schema, schema, MAX_DEPTH)


def _value(schema: object, root: object, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth <= 0:
        return None
    schema = _resolved(schema, root)
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    for listed in ("enum", "examples"):
        if isinstance(schema.get(listed), list) and schema[listed]:
            return schema[listed][0]
    for choice in ("anyOf", "oneOf"):
        if isinstance(schema.get(choice), list) and schema[choice]:
            rest = {key: value for key, value in schema.items() if key != choice}
            return _value(_both(rest, _resolved(schema[choice][0], root)), root, depth - 1)
    if isinstance(schema.get("allOf"), list):
        merged: Mapping[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            merged = _both(merged, _resolved(part, root))
        return _value(merged, root, depth - 1)
    return _typed(schema, root, depth)


def _typed(schema: Mapping[str, Any], root: object, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind is None:
        kind = "object" if "properties" in schema or "required" in schema else "array" if "items" in schema else "null"
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: _value(properties.get(name, {}), root, depth - 1) for name in schema.get("required", ())}
    if kind == "array":
        first = list(schema.get("prefixItems", ()))
        items = [*first, *[schema.get("items", {})] * (schema.get("minItems", 0) - len(first))]
        return [_value(item, root, depth - 1) for item in items[: max(schema.get("minItems", 0), 0)]]
    if kind == "string":
        return _text(schema)
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    return False if kind == "boolean" else None


def _text(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), "text")
    text = text.ljust(schema.get("minLength", 0), "x")
    return text if schema.get("format") in _FORMATS else text[: schema.get("maxLength", len(text))]


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    step = schema.get("multipleOf", 1)
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    least = max((bound for bound in (low, above) if bound is not None), default=None)
    most = min((bound for bound in (high, below) if bound is not None), default=None)
    if (least is None or least < 0 or (least == 0 and above != 0)) and (
        most is None or most > 0 or (most == 0 and below != 0)
    ):
        return 0
    if least is None:
        assert most is not None
        return -_number({"minimum" if below != most else "exclusiveMinimum": -most, "multipleOf": step}, whole=whole)
    found = ceil(least / step) * step
    found = found + step if above is not None and found <= above else found
    if not whole and most is not None and (found > most or found == below):
        found = (least + most) / 2
    return int(found) if whole else found


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**one, **other}
    for key in ("properties", "$defs", "definitions"):
        if key in one and key in other:
            merged[key] = {**one[key], **other[key]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *(name for name in other["required"] if name not in one["required"])]
    return merged


def _resolved(schema: object, root: object) -> Mapping[str, Any]:
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, Mapping):
            return {}
        target = schema.get("$ref")
        if not isinstance(target, str) or not target.startswith("#"):
            return schema
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        found: Any = root
        for part in target.removeprefix("#").strip("/").split("/") if target != "#" else ():
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        schema = _both(rest, found) if isinstance(found, Mapping) else rest
    return {}
