"""The blueprint language's nouns, and its published JSON Schema. Shapes only: what names mean is `validation`'s."""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from headrace_blueprint.tools import Tool

MAX_NODES = 200
MAX_TEXT = 32_768
"""Longest prompt or query, in characters."""
MAX_EXPRESSION = 4_096
"""Longest CEL source, in characters."""
MAX_TIMEOUT_S = 600.0
MAX_ITEMS = 200
"""Most items that a map node may run over."""
MAX_ITERATIONS = 10
"""Most rounds in which a compose node's model may call tools."""

Json = Any
"""A JSON value as orjson reads it."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
"""A name that CEL can write bare: `nodes.ID.output`."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
Cel = Annotated[str, StringConstraints(min_length=1, max_length=MAX_EXPRESSION)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
SearchMode = Literal["naive", "local", "global", "hybrid", "mix"]


class Part(BaseModel):
    """Frozen, strict about types, and closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)


class Retry(Part):
    """How often a node is tried."""

    attempts: Annotated[int, Field(ge=1, le=5)] = 1
    """Tries in all, the first included."""
    backoff_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    """Wait before the second try; it doubles for each further one."""


class NodeBase(Part):
    """What every node has."""

    id: Id
    needs: Annotated[list[Id], Field(max_length=MAX_NODES)] = []
    """Nodes that must end first, besides those that references name."""
    when: Cel | None = None
    """The node is skipped when this is false."""
    timeout_s: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S)] | None = None
    retry: Retry | None = None
    on_error: Literal["fail", "continue"] | None = None
    """`continue`: a failure for good leaves a gap, the output null, instead of ending the run. Absent means `fail`."""


class Data(NodeBase):
    """A tool's call."""

    kind: Literal["data"]
    tool: ShortText
    args: dict[str, Json] = {}


class Retrieve(NodeBase):
    """A search in a workspace's documents."""

    kind: Literal["retrieve"]
    query: Text
    workspace: Annotated[str, StringConstraints(max_length=200)] | None = None
    mode: SearchMode | None = None
    top_k: Annotated[int, Field(ge=1, le=50)] | None = None


class Compute(NodeBase):
    """A pure CEL expression over earlier outputs."""

    kind: Literal["compute"]
    expr: Cel


class Compose(NodeBase):
    """A model's answer to a prompt: text, or JSON when there is a schema."""

    model_config = ConfigDict(protected_namespaces=())

    kind: Literal["compose"]
    prompt: Text
    model: ShortText | None = None
    schema_: Annotated[dict[str, Json] | None, Field(alias="schema")] = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    tools: Annotated[list[ShortText], Field(min_length=1, max_length=32)] | None = None
    """Tools that the model itself may call before it answers."""
    max_iterations: Annotated[int, Field(ge=1, le=MAX_ITERATIONS)] | None = None
    """Rounds of such calls; absent means 5. In the last one the model has to answer."""


class Case(Part):
    """One way out of a branch."""

    when: Cel
    then: Annotated[list[Id], Field(max_length=MAX_NODES)]


class Branch(NodeBase):
    """Lets the nodes of the first true case run and skips those of the others."""

    kind: Literal["branch"]
    cases: Annotated[list[Case], Field(min_length=1, max_length=20)]
    else_: Annotated[list[Id], Field(alias="else", max_length=MAX_NODES)] = []


class Flow(NodeBase):
    """A saved workflow, run as one node."""

    kind: Literal["flow"]
    workflow_id: ShortText
    inputs: dict[str, Json] = {}


Simple = Annotated[Data | Retrieve | Compute | Compose | Flow, Field(discriminator="kind")]
"""What a map node may run for each item."""


class Map(NodeBase):
    """Runs one node for each item of a list."""

    kind: Literal["map"]
    over: Text
    as_: Annotated[Id, Field(alias="as")] = "item"
    max: Annotated[int, Field(ge=1, le=MAX_ITEMS)] = 50
    concurrency: Annotated[int, Field(ge=1, le=16)] = 4
    node: Simple


Node = Annotated[Data | Retrieve | Compute | Compose | Branch | Map | Flow, Field(discriminator="kind")]


class Slot(Part):
    """One place of a page, filled by a node's output."""

    slot: Id
    title: ShortText
    node: Id


class Blueprint(Part):
    """A directed acyclic graph of typed nodes, and where its answer is."""

    version: Literal[1]
    name: ShortText
    inputs: dict[str, Json] = {}
    """JSON Schema of what a run is given; `${inputs.x}` may name its properties."""
    nodes: Annotated[list[Node], Field(min_length=1, max_length=MAX_NODES)]
    layout: Annotated[list[Slot], Field(max_length=MAX_NODES)] | None = None
    output: Text
    """One reference: the reply."""

    def to_json(self) -> dict[str, Json]:
        """The document, without what it leaves to defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


NODE_TYPES: Mapping[str, type[NodeBase]] = {
    "data": Data,
    "retrieve": Retrieve,
    "compute": Compute,
    "compose": Compose,
    "branch": Branch,
    "map": Map,
    "flow": Flow,
}
ALL: frozenset[str] = frozenset(NODE_TYPES)
"""Every kind of node that the language has."""
SIMPLE: frozenset[str] = ALL - {"branch", "map"}


def field_names(model: type[BaseModel]) -> Sequence[str]:
    """A model's fields as a document writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]


SCHEMA: dict[str, Json] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://headrace.dev/schemas/blueprint/v1.json",
    **Blueprint.model_json_schema(by_alias=True),
}
"""The published JSON Schema. What it cannot say (references, cycles, tools, CEL) `validation` checks."""


_REFERRING: Mapping[str, Json] = {
    "description": "A value with a reference somewhere.",
    "anyOf": [
        {"type": "string", "pattern": r"\$\{"},
        {"type": "array", "contains": {"$ref": "#/$defs/Referring"}},
        {"type": "object", "not": {"additionalProperties": {"not": {"$ref": "#/$defs/Referring"}}}},
    ],
}


def schema_with_tools(tools: Mapping[str, Tool]) -> dict[str, Json]:
    """`SCHEMA` for an editor that knows these tools: it completes their names and checks their arguments.

    It accepts every blueprint that `validation` accepts with them. An argument with a reference anywhere is not checked.
    """
    schema = copy.deepcopy(SCHEMA)
    defs = schema["$defs"]
    known = {"enum": list(tools), "enumDescriptions": [tool.description for tool in tools.values()]}
    defs["Data"]["properties"]["tool"] |= known
    defs["Compose"]["properties"]["tools"]["anyOf"][0]["items"] |= known
    defs["Referring"] = copy.deepcopy(_REFERRING)
    for name, tool in tools.items():
        own = _moved(tool.input_schema, "#/$defs/" + quote(f"tool {name}".replace("~", "~0").replace("/", "~1"), safe="~"))
        if own != tool.input_schema:
            defs[f"tool {name}"] = own
        chosen = {"properties": {"tool": {"const": name}}, "required": ["tool"]}
        defs["Data"].setdefault("allOf", []).append({"if": chosen, "then": _with_arguments(tool, own)})
    return schema


def _with_arguments(tool: Tool, own: Mapping[str, Json]) -> dict[str, Json]:
    args: dict[str, Json] = {"type": "object", "description": tool.description, "required": own.get("required", [])}
    args["properties"] = {name: _or_referring(one) for name, one in own.get("properties", {}).items()}
    args["additionalProperties"] = _or_referring(own.get("additionalProperties", True))
    return {"properties": {"args": args}, "required": ["args"] if args["required"] else []}


def _or_referring(schema: Json) -> Json:
    """The same schema for a value, or for one that a reference brings in; with what an editor shows."""
    if not isinstance(schema, dict):
        return schema
    shown = {word: schema[word] for word in ("title", "description", "default", "examples") if word in schema}
    return {**shown, "anyOf": [schema, {"$ref": "#/$defs/Referring"}]}


def _moved(value: Json, place: str) -> Json:
    """A schema that stands at `place` of another document: what it refers to in itself is there."""
    if isinstance(value, Mapping):
        return {
            key: place + one[1:] if key == "$ref" and str(one).startswith("#") else _moved(one, place)
            for key, one in value.items()
            if key not in ("$id", "$schema") or not isinstance(one, str)
        }
    return [_moved(one, place) for one in value] if isinstance(value, list) else value
