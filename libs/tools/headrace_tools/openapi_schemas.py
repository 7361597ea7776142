"""OpenAPI's schema objects as JSON Schema 2020-12 that stands alone. Pure."""

from collections.abc import Mapping
from typing import Any

from headrace_tools import schemas
from headrace_tools.limits import MAX_SCHEMA_DEPTH

MAX_PARTS = 5000
"""Parts of one operation's schemas, references written out."""

_DROPPED = frozenset(
    {"example", "examples", "xml", "discriminator", "externalDocs", "nullable", "readOnly", "writeOnly", "deprecated"}
)
_NAMED = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


class Unusable(Exception):
    """Why an operation cannot be called."""


class Schemas:
    """The schemas of one operation; their parts are counted together."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._left = MAX_PARTS

    def found(self, value: Any) -> Mapping[str, Any]:
        """A parameter or body, at the end of its references. Raises `Unusable`."""
        for _ in range(MAX_SCHEMA_DEPTH):
            if not isinstance(value, dict):
                raise Unusable("it has a part that is no object")
            if "$ref" not in value:
                return value
            value = self._target(value["$ref"])
        raise Unusable("it has a $ref that leads back to itself")

    def plain(self, schema: Any) -> dict[str, Any]:
        """A schema with its references written out, without what a request must not hold (readOnly). Raises `Unusable`."""
        made = self._plain(schema, ())
        return made if isinstance(made, dict) else {}

    def _target(self, reference: Any) -> dict[str, Any]:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise Unusable(f"it refers to another document, {str(reference)[:100]!r}")
        target = schemas.resolved(self._document, reference)
        if target is None:
            raise Unusable(f"it refers to {reference[:100]!r}, which the document does not have")
        return target

    def _plain(self, schema: Any, above: tuple[str, ...]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Unusable(f"its schemas have more than {MAX_PARTS} parts")
        if len(above) > MAX_SCHEMA_DEPTH:
            raise Unusable("its schemas are nested too deeply")
        if not isinstance(schema, dict):
            return schema
        reference = schema.get("$ref")
        if reference is None:
            return self._object(schema, (*above, ""))
        target = self._target(reference)
        if reference in above:
            return {"description": f"{str(reference).rpartition('/')[2]}, as above"}
        made = self._plain(target, (*above, str(reference)))
        beside = {key: value for key, value in schema.items() if key == "description" and isinstance(made, dict)}
        return {**made, **beside} if isinstance(made, dict) else made

    def _object(self, schema: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
        made = dict[str, Any]()
        for key, value in schema.items():
            if key in _DROPPED or key.startswith("x-"):
                continue
            if key in _NAMED and isinstance(value, dict):
                made[key] = {name: self._plain(one, above) for name, one in value.items() if not _answered(one)}
            elif key in ("enum", "const", "default", "required", "type"):
                made[key] = value
            elif isinstance(value, list):
                made[key] = [self._plain(one, above) for one in value]
            else:
                made[key] = self._plain(value, above)
        return _of_3_0(schema, _writable(schema, made))


def _answered(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("readOnly") is True


def _writable(schema: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """Nothing is required that is only in answers."""
    fields = schema.get("properties")
    if isinstance(fields, dict) and isinstance(made.get("required"), list):
        made["required"] = [name for name in made["required"] if not _answered(fields.get(name))]
    return made


def _of_3_0(schema: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """What 3.0 says in its own way: `nullable`, and bounds that are excluded by a boolean."""
    if schema.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
    for excluded, bound in _BOUNDS.items():
        if isinstance(made.get(excluded), bool) and made.pop(excluded) and bound in made:
            made[excluded] = made.pop(bound)
    return made
