"""The JSON Schema of a model's draft. Pure. It is one that llama.cpp takes as a grammar, so that a small model fits it too.

Two languages: the compact one has retrieve, compose, compute and data nodes; the full one map and branch as well, and lets
nodes be optional. Models with little context get the compact one: each further kind is one more to go wrong with.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from headrace_blueprint import schemas
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.shapes import nearest
from headrace_blueprint.tools import Tool
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

FULL_CONTEXT_TOKENS = 8_192
"""A model with so much context gets the full language."""
MAX_STRING = 200
"""Longest string of a tool's argument in a draft. A grammar's size grows with it."""
LEAST_REFERENCE = len("${inputs.a}")
MAX_ITEMS = 20
"""Longest list of a tool's argument in a draft."""
MAX_TYPED = 60
"""A tool whose schema has more values than this is not written into the grammar: its arguments are checked afterwards."""
MAX_TYPED_DEPTH = 4
MAX_SHOWN = 64
"""How much of a wrong name a fault shows."""
MAX_MESSAGE = 200

_NAME = r"[a-z][a-z0-9_]{0,19}"
_STEPS = r"(\.[A-Za-z_][A-Za-z0-9_]{0,29}|\[[0-9]{1,3}\]){0,4}"
NODE_REFERENCE = rf"\$\{{nodes\.{_NAME}\.output{_STEPS}\}}"
REFERENCE = rf"^(\$\{{inputs\.[a-z_]{{1,20}}{_STEPS}\}}|{NODE_REFERENCE})$"

Schema = dict[str, Any]

_ID: Schema = {"type": "string", "pattern": f"^{_NAME}$"}
_IDS: Schema = {"type": "array", "items": _ID, "maxItems": 6}
_OPTIONAL: Schema = {"const": "continue"}
_REFERENCE: Schema = {"type": "string", "pattern": REFERENCE}
_LIST: Schema = {"type": "string", "pattern": f"^{NODE_REFERENCE}$"}
_DEFS: Mapping[str, Schema] = {"id": _ID, "ref": _REFERENCE, "list": _LIST}
"""What each node would repeat. A draft's schema is most of what its question costs where it is put into words."""


class Language(StrEnum):
    """How much of the blueprint language a model may write."""

    COMPACT = "compact"
    FULL = "full"

    @staticmethod
    def of(context_tokens: int) -> "Language":
        """The language for a model that reads so many tokens."""
        return Language.FULL if context_tokens >= FULL_CONTEXT_TOKENS else Language.COMPACT

    @property
    def most_tools(self) -> int:
        """How many tools a model is told at most."""
        return 16 if self is Language.FULL else 6

    @property
    def most_tokens(self) -> int:
        """The longest draft, in tokens: what a draft of so many nodes needs, and no room to ramble."""
        return 3_000 if self is Language.FULL else 700

    @property
    def most_nodes(self) -> int:
        """How many nodes a draft has at most."""
        return 16 if self is Language.FULL else 7


def schema(language: Language, tools: Sequence[Tool]) -> Schema:
    """A draft's schema, with a kind of data node for each tool, so that a grammar holds the arguments too."""
    kinds = [one for kind in _kinds(language, tools).values() for one in kind.values()]
    nodes = {"type": "array", "minItems": 1, "maxItems": language.most_nodes, "items": {"anyOf": kinds}}
    whole = _object({"name": _text(60), "nodes": nodes}, ("name", "nodes"))
    return {**_named(whole), "$defs": _DEFS}


def faults(draft: Any, language: Language, tools: Sequence[Tool]) -> list[Fault]:
    """Why a draft does not fit its schema, each node held against its own kind, which says more than all kinds."""
    if not isinstance(draft, Mapping):
        return [Fault("", "the answer is no JSON object", "")]
    nodes = draft.get("nodes")
    if not isinstance(nodes, list) or not nodes:
        return [Fault("/nodes", "there is no list of nodes", 'write {"name": …, "nodes": [{"id": …, "kind": …}, …]}')]
    if len(nodes) > language.most_nodes:
        hint = "leave out, or join, those that matter least"
        return [Fault("/nodes", f"there are {len(nodes)} nodes, at most {language.most_nodes} are taken", hint)]
    kinds = _kinds(language, tools)
    return [fault for at, node in enumerate(nodes) for fault in _node_faults(f"/nodes/{at}", node, kinds)]


def arguments(tool: Tool) -> Schema:
    """The schema of a tool's arguments in a draft: typed where that is small, any object elsewhere.

    A reference may stand for any value.
    """
    if _values(tool.input_schema) > MAX_TYPED:
        return {"type": "object"}
    typed = _typed_object(tool.input_schema, _REFERENCE, 0)
    return typed if typed is not None else {"type": "object"}


def _kinds(language: Language, tools: Sequence[Tool]) -> Mapping[str, Mapping[str, Schema]]:
    """The schemas of nodes by their kinds; of a kind with several, by what tells them apart."""
    full = language is Language.FULL
    kinds: dict[str, dict[str, Schema]] = {
        "retrieve": {"": _retrieve(full)},
        "compose": {"": _compose(full)},
        "compute": {"": _node("compute", {"expr": _text(200)})},
        "data": {tool.name: _data(tool, full) for tool in tools},
    }
    if full:
        kinds["map"] = {"": _map_compose()} | ({"tool": _map_data(tools)} if tools else {})
        kinds["branch"] = {"": _branch()}
    return kinds


def _node_faults(at: str, node: Any, kinds: Mapping[str, Mapping[str, Schema]]) -> Iterator[Fault]:
    if not isinstance(node, Mapping):
        yield Fault(at, "a node is a JSON object", "")
        return
    kind, tool = str(node.get("kind", ""))[:MAX_SHOWN], str(node.get("tool", ""))[:MAX_SHOWN]
    if kind not in kinds:
        yield Fault(f"{at}/kind", f"there is no kind {kind!r}", nearest(kind, kinds))
    elif kind == "data" and tool not in kinds["data"]:
        yield Fault(f"{at}/tool", f"there is no tool {tool!r}", nearest(tool, kinds["data"]))
    else:
        which = tool if kind == "data" else "tool" if "tool" in node and "tool" in kinds[kind] else ""
        for error in Draft202012Validator(kinds[kind][which]).iter_errors(node):
            worst = best_match([error]) or error
            yield Fault(at + pointer(list(worst.absolute_path)), worst.message[:MAX_MESSAGE], "")


def _retrieve(full: bool) -> Schema:
    return _node("retrieve", {"query": _text(MAX_STRING)}, {"on_error": _OPTIONAL} if full else {})


def _compose(full: bool) -> Schema:
    return _node(
        "compose", {"title": _text(60), "prompt": _text(600 if full else 300)}, {"when": _text(120)} if full else {}
    )


def _data(tool: Tool, full: bool) -> Schema:
    required = {"tool": {"const": tool.name}, "args": arguments(tool)}
    return _node("data", required, {"on_error": _OPTIONAL} if full else {})


def _map_compose() -> Schema:
    return _node("map", {"title": _text(60), "over": _LIST, "prompt": _text(600)})


def _map_data(tools: Sequence[Tool]) -> Schema:
    """One kind for all tools, its arguments checked afterwards: twice as many kinds would be twice the grammar."""
    return _node("map", {"over": _LIST, "tool": {"enum": [tool.name for tool in tools]}, "args": {"type": "object"}})


def _branch() -> Schema:
    return _node("branch", {"when": _text(120), "then": _IDS, "else": _IDS})


def _node(kind: str, required: Schema, optional: Schema | None = None) -> Schema:
    fields = {"id": _ID, "kind": {"const": kind}, **required}
    return _object(fields | (optional or {}), tuple(fields))


def _object(properties: Schema, required: Sequence[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _text(most: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _typed(one: Any, reference: Schema, depth: int) -> Schema | None:
    """What a grammar can hold of a schema; None when it cannot hold what the schema asks for."""
    if not isinstance(one, Mapping) or depth > MAX_TYPED_DEPTH:
        return None
    if "const" in one or "enum" in one:
        values = one["enum"] if "enum" in one else [one["const"]]
        return {"anyOf": [{"enum": list(values)}, reference]}
    if ways := one.get("anyOf") or one.get("oneOf"):
        held = [made for way in ways if (made := _typed(way, reference, depth + 1)) is not None]
        return {"anyOf": held} if held else None
    match _kind(one):
        case "string":
            longest = min(one.get("maxLength", MAX_STRING), MAX_STRING)
            text = {"type": "string", "maxLength": longest}
            if least := min(one.get("minLength", 0), longest):
                text["minLength"] = least
            # A reference is a text too, and no longer than the longest.
            return text if longest == MAX_STRING and least <= LEAST_REFERENCE else {"anyOf": [text, reference]}
        case "integer" | "number" | "boolean" as kind:
            bounds = {
                key: one[key] for key in ("minimum", "maximum") if kind == "integer" and isinstance(one.get(key), int)
            }
            return {"anyOf": [{"type": kind, **bounds}, reference]}
        case "array":
            items = _typed(one.get("items"), reference, depth + 1)
            length = {"maxItems": min(one.get("maxItems", MAX_ITEMS), MAX_ITEMS)}
            length |= {"minItems": one["minItems"]} if one.get("minItems") else {}
            return None if items is None else {"anyOf": [{"type": "array", "items": items, **length}, reference]}
        case "object":
            return _typed_object(one, reference, depth)
        case _:
            return None


def _typed_object(one: Mapping[str, Any], reference: Schema, depth: int) -> Schema | None:
    properties = schemas.properties(one)
    required = [name for name in one.get("required", ()) if isinstance(name, str)]
    typed = {name: _typed(each, reference, depth + 1) for name, each in properties.items()}
    if any(typed.get(name) is None for name in required):
        return None
    # An optional argument that a grammar cannot hold is left out of the draft's language.
    made = _object({name: each for name, each in typed.items() if each is not None}, required)
    return {"anyOf": [made, reference]} if depth else made


def _kind(one: Mapping[str, Any]) -> Any:
    """A schema's type; of several the first that is not null."""
    kind = one.get("type")
    return next((each for each in kind if each != "null"), None) if isinstance(kind, list) else kind


def _named(value: Any) -> Any:
    """A schema with `$ref` for what `_DEFS` has."""
    for name, one in _DEFS.items():
        if value == one:
            return {"$ref": f"#/$defs/{name}"}
    if isinstance(value, Mapping):
        return {key: _named(one) for key, one in value.items()}
    return [_named(one) for one in value] if isinstance(value, list) else value


def _values(value: Any) -> int:
    """How many values a schema has."""
    count, pending = 0, [value]
    while pending:
        one = pending.pop()
        count += 1
        if isinstance(one, Mapping):
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
    return count
