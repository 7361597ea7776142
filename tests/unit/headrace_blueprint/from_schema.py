"""Random documents of a JSON Schema, for the words that the language's own schema uses."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.unit.headrace_blueprint.documents import JSON

Schema = Mapping[str, Any]

KNOWN = {
    *("$schema", "$id", "$defs", "$ref", "title", "description", "default", "discriminator", "type", "const", "enum"),
    *("anyOf", "oneOf", "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "minLength"),
    *("maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum"),
}
"""A word that is not among these would be passed over: the generator refuses it."""


def documents(schema: Schema) -> st.SearchStrategy[Any]:
    """Documents that satisfy it."""
    return _value(schema, schema)


def _value(schema: Schema, root: Schema) -> st.SearchStrategy[Any]:
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return st.deferred(lambda: _value(root["$defs"][schema["$ref"].rpartition("/")[2]], root))
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return st.one_of([_value(one, root) for one in schema[word]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _of_type(schema, root)


def _of_type(schema: Schema, root: Schema) -> st.SearchStrategy[Any]:
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"].replace("$", r"\Z"))
        case "string":
            most = min(schema.get("maxLength", 12), 12)
            return st.text(st.characters(exclude_categories=["Cs"]), min_size=schema.get("minLength", 0), max_size=most)
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            least = schema.get("minimum", schema.get("exclusiveMinimum"))
            open_ = "exclusiveMinimum" in schema
            return st.floats(least, schema.get("maximum"), exclude_min=open_, allow_nan=False, allow_infinity=False)
        case "array":
            most = min(schema.get("maxItems", 4), 4)
            return st.lists(_value(schema["items"], root), min_size=schema.get("minItems", 0), max_size=most)
        case "object":
            return _object(schema, root)
    raise NotImplementedError(schema["type"])


def _object(schema: Schema, root: Schema) -> st.SearchStrategy[Any]:
    if schema["additionalProperties"] is True:
        return st.dictionaries(st.text(max_size=8), JSON, max_size=4)
    required = schema.get("required", [])
    values = {name: _value(one, root) for name, one in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: values[name] for name in required},
        optional={name: one for name, one in values.items() if name not in required},
    )
