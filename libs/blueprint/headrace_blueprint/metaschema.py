"""What a JSON Schema looks like: the 2020-12 metaschema as a model, without what a blueprint's schemas may not have.

Checking against the metaschema itself costs a tenth of a millisecond for each value, this a few hundredths of that.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import PydanticCustomError

REFUSED: Mapping[str, str] = {
    "$ref": "write the schema out in place",
    "$dynamicRef": "write the schema out in place",
    "pattern": "use enum, minLength or maxLength",
    "patternProperties": "name the properties",
}
"""Keywords that may fetch, not end or match for ever, and what to do without them."""

_TAGS = frozenset({"⟨schema⟩", "⟨boolean⟩", "⟨name⟩", "⟨list⟩"})


def _unique(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise PydanticCustomError("duplicate", "a name is there twice")
    return names


def _whole(value: Any) -> Any:
    """An integer: JSON Schema counts 5.0 as one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refused(value: Any) -> Any:
    raise PydanticCustomError("refused", "this keyword is not allowed here")


def _is_schema(value: Any) -> str:
    return "⟨boolean⟩" if isinstance(value, bool) else "⟨schema⟩"


def _is_list(value: Any) -> str:
    return "⟨list⟩" if isinstance(value, list) else "⟨name⟩"


def _dependency(value: Any) -> str:
    return "⟨list⟩" if isinstance(value, list) else _is_schema(value)


_Type = Literal["array", "boolean", "integer", "null", "number", "object", "string"]
_Types = Annotated[list[_Type], Field(min_length=1), AfterValidator(_unique)]
_Names = Annotated[list[str], AfterValidator(_unique)]
_Count = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
_Sub = Annotated[
    Annotated["Schema", Tag("⟨schema⟩")] | Annotated[bool, Tag("⟨boolean⟩")],
    Discriminator(_is_schema),
]
_Subs = Annotated[list[_Sub], Field(min_length=1)]
_Named = dict[str, _Sub]
_Anchor = Annotated[str, Field(pattern=r"^[A-Za-z_][-A-Za-z0-9._]*$")]
_Refused = Annotated[Any, AfterValidator(_refused)]
_ABSENT: Any = None


class Schema(BaseModel):
    """One schema object. Unknown keywords are annotations."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())

    type_: Annotated[
        Annotated[_Type, Tag("⟨name⟩")] | Annotated[_Types, Tag("⟨list⟩")],
        Discriminator(_is_list),
        Field(alias="type"),
    ] = _ABSENT
    enum: list[Any] = _ABSENT
    multiple_of: Annotated[float, Field(alias="multipleOf", gt=0)] = _ABSENT
    minimum: float = _ABSENT
    maximum: float = _ABSENT
    exclusive_minimum: Annotated[float, Field(alias="exclusiveMinimum")] = _ABSENT
    exclusive_maximum: Annotated[float, Field(alias="exclusiveMaximum")] = _ABSENT
    min_length: Annotated[_Count, Field(alias="minLength")] = _ABSENT
    max_length: Annotated[_Count, Field(alias="maxLength")] = _ABSENT
    min_items: Annotated[_Count, Field(alias="minItems")] = _ABSENT
    max_items: Annotated[_Count, Field(alias="maxItems")] = _ABSENT
    unique_items: Annotated[bool, Field(alias="uniqueItems")] = _ABSENT
    min_contains: Annotated[_Count, Field(alias="minContains")] = _ABSENT
    max_contains: Annotated[_Count, Field(alias="maxContains")] = _ABSENT
    min_properties: Annotated[_Count, Field(alias="minProperties")] = _ABSENT
    max_properties: Annotated[_Count, Field(alias="maxProperties")] = _ABSENT
    required: _Names = _ABSENT
    dependent_required: Annotated[dict[str, _Names], Field(alias="dependentRequired")] = _ABSENT

    properties: _Named = _ABSENT
    additional_properties: Annotated[_Sub, Field(alias="additionalProperties")] = _ABSENT
    unevaluated_properties: Annotated[_Sub, Field(alias="unevaluatedProperties")] = _ABSENT
    property_names: Annotated[_Sub, Field(alias="propertyNames")] = _ABSENT
    dependent_schemas: Annotated[_Named, Field(alias="dependentSchemas")] = _ABSENT
    items: _Sub = _ABSENT
    prefix_items: Annotated[_Subs, Field(alias="prefixItems")] = _ABSENT
    unevaluated_items: Annotated[_Sub, Field(alias="unevaluatedItems")] = _ABSENT
    contains: _Sub = _ABSENT
    all_of: Annotated[_Subs, Field(alias="allOf")] = _ABSENT
    any_of: Annotated[_Subs, Field(alias="anyOf")] = _ABSENT
    one_of: Annotated[_Subs, Field(alias="oneOf")] = _ABSENT
    not_: Annotated[_Sub, Field(alias="not")] = _ABSENT
    if_: Annotated[_Sub, Field(alias="if")] = _ABSENT
    then: _Sub = _ABSENT
    else_: Annotated[_Sub, Field(alias="else")] = _ABSENT
    content_schema: Annotated[_Sub, Field(alias="contentSchema")] = _ABSENT

    id_: Annotated[str, Field(alias="$id", pattern=r"^[^#]*#?$")] = _ABSENT
    dialect: Annotated[str, Field(alias="$schema")] = _ABSENT
    anchor: Annotated[_Anchor, Field(alias="$anchor")] = _ABSENT
    dynamic_anchor: Annotated[_Anchor, Field(alias="$dynamicAnchor")] = _ABSENT
    recursive_anchor: Annotated[_Anchor, Field(alias="$recursiveAnchor")] = _ABSENT
    recursive_ref: Annotated[str, Field(alias="$recursiveRef")] = _ABSENT
    vocabulary: Annotated[dict[str, bool], Field(alias="$vocabulary")] = _ABSENT
    defs: Annotated[_Named, Field(alias="$defs")] = _ABSENT
    definitions: _Named = _ABSENT
    dependencies: dict[
        str,
        Annotated[
            Annotated[_Names, Tag("⟨list⟩")] | Annotated["Schema", Tag("⟨schema⟩")] | Annotated[bool, Tag("⟨boolean⟩")],
            Discriminator(_dependency),
        ],
    ] = _ABSENT
    comment: Annotated[str, Field(alias="$comment")] = _ABSENT
    title: str = _ABSENT
    description: str = _ABSENT
    format_: Annotated[str, Field(alias="format")] = _ABSENT
    content_encoding: Annotated[str, Field(alias="contentEncoding")] = _ABSENT
    content_media_type: Annotated[str, Field(alias="contentMediaType")] = _ABSENT
    deprecated: bool = _ABSENT
    read_only: Annotated[bool, Field(alias="readOnly")] = _ABSENT
    write_only: Annotated[bool, Field(alias="writeOnly")] = _ABSENT
    examples: list[Any] = _ABSENT

    ref: Annotated[_Refused, Field(alias="$ref")] = _ABSENT
    dynamic_ref: Annotated[_Refused, Field(alias="$dynamicRef")] = _ABSENT
    pattern: _Refused = _ABSENT
    pattern_properties: Annotated[_Refused, Field(alias="patternProperties")] = _ABSENT


def errors(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The places of a schema that are wrong, and how; a refused keyword's message is empty."""
    try:
        Schema.model_validate(schema)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            path = tuple(part for part in one["loc"] if part not in _TAGS)
            match one["type"]:
                case "refused":
                    yield path, ""
                case "model_type" | "model_attributes_type":
                    yield path, "a schema is an object or a boolean"
                case _:
                    yield path, one["msg"][:1].lower() + one["msg"][1:]
