"""The blueprint language's nouns, and its published JSON Schema. Shapes only: what names mean is `validation`'s.

The docstrings of fields are what an editor shows beside them.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from headrace_blueprint.tools import Tool

VERSIONS = (1,)
"""The versions of the language that this reader knows."""
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
MAX_TOOLS = 32
"""Most tools that a compose node's model may be given."""

Json = Any
"""A JSON value as orjson reads it."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
"""A name that CEL can write bare: `nodes.ID.output`."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
Cel = Annotated[str, StringConstraints(min_length=1, max_length=MAX_EXPRESSION)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
SearchMode = Literal["naive", "local", "global", "hybrid", "mix"]

REFERRING = ("args", "inputs", "model", "over", "prompt", "query", "workspace")
"""Fields of a node in which a `${…}` stands for a value. Elsewhere it is plain text: in names, CEL and schemas."""


class Part(BaseModel):
    """Frozen, strict about types, and closed to unknown fields."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, populate_by_name=False, use_attribute_docstrings=True
    )


class Retry(Part):
    """How often a node is tried."""

    attempts: Annotated[int, Field(ge=1, le=5)] = 1
    """Tries in all, the first included."""
    backoff_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    """Wait before the second try, in seconds; it doubles for each further one."""


class NodeBase(Part):
    """What every node has."""

    id: Id
    """The node's name: others read its output as `${nodes.ID.output}`, or `nodes.ID.output` in CEL."""
    needs: Annotated[list[Id], Field(max_length=MAX_NODES)] = []
    """Nodes that must end first, besides those that references name."""
    when: Cel | None = None
    """CEL: the node is skipped when this is false."""
    timeout_s: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S)] | None = None
    """How long one try may take, in seconds."""
    retry: Retry | None = None
    """How often the node is tried."""
    on_error: Literal["fail", "continue"] | None = None
    """`continue`: a failure for good leaves a gap, the output null, instead of ending the run. Absent means `fail`."""


class Data(NodeBase):
    """A tool's call."""

    kind: Literal["data"]
    """Calls a tool; the output is its result."""
    tool: ShortText
    """The tool's name: a built-in one's, or CONNECTOR.TOOL."""
    args: dict[str, Json] = {}
    """The tool's arguments; their strings may have references."""


class Retrieve(NodeBase):
    """A search in a workspace's documents."""

    kind: Literal["retrieve"]
    """Searches documents; the output is {chunks, entities, relations, text}, `text` for prompts."""
    query: Text
    """What to look for."""
    workspace: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Where to look; absent means the tenant's own workspace."""
    mode: SearchMode | None = None
    """How to look: by passages (naive), by the graph of entities (local, global, hybrid), or by both (mix)."""
    top_k: Annotated[int, Field(ge=1, le=50)] | None = None
    """Most passages to find."""


class Compute(NodeBase):
    """A pure CEL expression over earlier outputs."""

    kind: Literal["compute"]
    """Evaluates CEL; the output is the result."""
    expr: Cel
    """The expression, over `inputs`, `nodes.ID.output` and a map's item."""


class Compose(NodeBase):
    """A model's answer to a prompt: text, or JSON when there is a schema."""

    model_config = ConfigDict(protected_namespaces=())

    kind: Literal["compose"]
    """Asks a model; the output is its answer."""
    prompt: Text
    """What the model is asked."""
    model: ShortText | None = None
    """A model of the registry; absent means the default one."""
    schema_: Annotated[dict[str, Json] | None, Field(alias="schema")] = None
    """JSON Schema that the answer must satisfy; the output is then JSON."""
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    """Longest answer, in tokens."""
    tools: Annotated[list[ShortText], Field(min_length=1, max_length=MAX_TOOLS)] | None = None
    """Tools that the model itself may call before it answers."""
    max_iterations: Annotated[int, Field(ge=1, le=MAX_ITERATIONS)] | None = None
    """Rounds of such calls; absent means 5. In the last one the model has to answer."""


class Case(Part):
    """One way out of a branch."""

    when: Cel
    """CEL: the way is taken when this is true and no case before it was."""
    then: Annotated[list[Id], Field(max_length=MAX_NODES)]
    """The nodes that then run."""


class Branch(NodeBase):
    """Lets the nodes of the first true case run and skips those of the others."""

    kind: Literal["branch"]
    """Chooses which nodes run."""
    cases: Annotated[list[Case], Field(min_length=1, max_length=20)]
    """The ways out; the first whose condition is true is taken."""
    else_: Annotated[list[Id], Field(alias="else", max_length=MAX_NODES)] = []
    """The nodes that run when no case is true."""


class Flow(NodeBase):
    """A saved workflow, run as one node."""

    kind: Literal["flow"]
    """Runs a saved workflow; the output is the workflow's."""
    workflow_id: ShortText
    """The workflow's id."""
    inputs: dict[str, Json] = {}
    """What the workflow is given; strings may have references."""


Simple = Annotated[Data | Retrieve | Compute | Compose | Flow, Field(discriminator="kind")]
"""What a map node may run for each item."""


class Map(NodeBase):
    """Runs one node for each item of a list."""

    kind: Literal["map"]
    """Runs its node for each item; the output is the list of its outputs, in the items' order."""
    over: Text
    """One reference to a list."""
    as_: Annotated[Id, Field(alias="as")] = "item"
    """What the inner node calls its item: `${item}`, or bare in CEL."""
    max: Annotated[int, Field(ge=1, le=MAX_ITEMS)] = 50
    """Most items that the list may have."""
    concurrency: Annotated[int, Field(ge=1, le=16)] = 4
    """How many items run at once."""
    node: Simple
    """The node that runs for each item."""


Node = Annotated[Data | Retrieve | Compute | Compose | Branch | Map | Flow, Field(discriminator="kind")]


class Slot(Part):
    """One place of a page, filled by a node's output."""

    slot: Id
    """The place's name, different from the others'."""
    title: ShortText
    """What readers see above it."""
    node: Id
    """The node whose output fills it."""


class Blueprint(Part):
    """A directed acyclic graph of typed nodes, and where its answer is."""

    version: Literal[1]
    """The version of the language."""
    name: ShortText
    """What people call it."""
    inputs: dict[str, Json] = {}
    """JSON Schema of what a run is given; `${inputs.x}` may name its properties."""
    nodes: Annotated[list[Node], Field(min_length=1, max_length=MAX_NODES)]
    """The nodes, in any order: each runs as soon as what it needs has ended."""
    layout: Annotated[list[Slot], Field(max_length=MAX_NODES)] | None = None
    """The page's places, from top to bottom."""
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
