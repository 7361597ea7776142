"""A model that does what a schema asks: the smallest JSON that satisfies it, with some fields as the test wants them."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.openai_server import Reply

Json = Any


def prompt(request: Mapping[str, Json]) -> str:
    """All that a request says."""
    return "\n".join(str(message["content"]) for message in request["messages"])


def wants_json(request: Mapping[str, Json]) -> bool:
    """Whether a request asks for JSON of a schema."""
    return (request.get("response_format") or {}).get("type") == "json_schema"


def obliging(request: Mapping[str, Json], *, text: str, fields: Mapping[str, Json] | None = None) -> Reply:
    """JSON where a schema is asked for, `fields` by the names of properties, and else `text`."""
    if not wants_json(request):
        return Reply(text=text)
    schema = request["response_format"]["json_schema"]["schema"]
    return Reply(text=json.dumps(smallest(schema, fields or {}, schema)))


def smallest(schema: Mapping[str, Json], fields: Mapping[str, Json], root: Mapping[str, Json]) -> Json:
    """A value that satisfies a schema of the kind that models are given."""
    if "$ref" in schema:
        found = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return smallest(found, fields, root)
    for keyword in ("const", "enum", "anyOf", "oneOf"):
        if keyword in schema:
            first = schema[keyword] if keyword == "const" else schema[keyword][0]
            return first if keyword in ("const", "enum") else smallest(first, fields, root)
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    match kinds[0] if isinstance(kinds, list) else kinds:
        case "object":
            inner = schema.get("properties", {})
            wanted = [name for name in inner if name in schema.get("required", []) or name in fields]
            return {name: fields[name] if name in fields else smallest(inner[name], fields, root) for name in wanted}
        case "array":
            return [smallest(schema.get("items", {}), fields, root) for _ in range(schema.get("minItems", 0))]
        case "integer":
            return int(schema.get("minimum", 0))
        case "number":
            return float(schema.get("minimum", 0))
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return "all is well".ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", 100)]
