"""What a model's draft becomes: tidied, held against what a schema cannot say, made a whole blueprint. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from headrace_blueprint import references
from headrace_blueprint.faults import Fault, pointer

from headrace_planner.model import Entity

Blueprint = dict[str, Any]
Node = Mapping[str, Any]

ENTITY_FIELDS = frozenset({"id", "name"})
REQUEST = "\n\nRequest: ${inputs.message}"
ITEM = "\n\nThis one: ${item}"


def tidied(draft: Mapping[str, Any]) -> Mapping[str, Any]:
    """A draft whose ids differ and whose every node writes something, is used or decides.

    Small models repeat nodes and call tools for nothing. Mending that here costs no question; a name that two nodes bear
    goes to the first.
    """
    nodes: list[Node] = []
    taken: set[str] = set()
    for node in draft["nodes"]:
        if node not in nodes:
            nodes.append({**node, "id": fresh(node["id"], taken)})
            taken.add(nodes[-1]["id"])
    while useless := [node for node in nodes if not _is_useful(node, nodes)]:
        gone = {node["id"] for node in useless}
        nodes = [_without(node, gone) for node in nodes if node["id"] not in gone]
    return {**draft, "nodes": nodes or draft["nodes"]}


def faults(draft: Mapping[str, Any], entities: Sequence[Entity]) -> list[Fault]:
    """What is wrong with a draft beyond its schema and its blueprint."""
    if not any(_writes(node) for node in draft["nodes"]):
        return [Fault("/nodes", "no node writes anything", "add a compose node for each section")]
    return list(_entity_faults(draft, entities))


def blueprint(draft: Mapping[str, Any], template: Mapping[str, Any], entities: Sequence[Entity] = ()) -> Blueprint:
    """The whole blueprint of a draft: each node that writes fills a slot under its title, the first is the reply."""
    written = [node for node in draft["nodes"] if _writes(node)]
    reply = next((node for node in written if node["kind"] == "compose"), written[0] if written else None)
    taken = {node["id"] for node in draft["nodes"]}
    return {
        "version": template["version"],
        "name": draft["name"],
        "inputs": inputs(template["inputs"], entities),
        "nodes": [_node(node, taken) for node in draft["nodes"]],
        "layout": [{"slot": node["id"], "title": node["title"], "node": node["id"]} for node in written],
        "output": f"${{nodes.{reply['id']}.output}}" if reply else "",
    }


def inputs(schema: Mapping[str, Any], entities: Sequence[Entity]) -> Mapping[str, Any]:
    """The inputs' schema with the records that the plan reads."""
    if not entities:
        return schema
    records: dict[str, Any] = {}
    for entity in entities:
        record = {
            "type": "object",
            "properties": {"id": {"type": entity.id_type}, "name": {"type": "string"}},
            "required": ["id", "name"],
        }
        records.setdefault(entity.kind, record)
        if entity.place:
            records[f"{entity.kind}_all"] = {"type": "array", "items": record, "minItems": entity.place + 1}
    known = {"type": "object", "properties": records, "required": list(records)}
    required = [*schema.get("required", ()), "entities"]
    return {**schema, "properties": {**schema["properties"], "entities": known}, "required": required}


def fresh(name: str, taken: set[str]) -> str:
    """The name, or the first of NAME_2, NAME_3 … that nobody bears."""
    return name if name not in taken else next(new for at in count(2) if (new := f"{name}_{at}") not in taken)


def _writes(node: Node) -> bool:
    return "title" in node


def _is_useful(node: Node, nodes: Sequence[Node]) -> bool:
    if _writes(node):
        return True
    if node["kind"] == "branch":
        return bool(node["then"] or node["else"])
    pattern = re.compile(rf"\bnodes\.{re.escape(node['id'])}\b")
    return any(pattern.search(text) for other in nodes if other is not node for _, text in references.strings(other))


def _without(node: Node, gone: set[str]) -> Node:
    if node["kind"] != "branch":
        return node
    return {**node, **{way: [name for name in node[way] if name not in gone] for way in ("then", "else")}}


def _node(node: Node, taken: set[str]) -> Blueprint:
    """A draft's node as the language has it."""
    base = {key: value for key, value in node.items() if key != "title"}
    match node["kind"]:
        case "compose":
            return {**base, "prompt": _told(node["prompt"])}
        case "branch":
            made = {"id": node["id"], "kind": "branch", "cases": [{"when": node["when"], "then": node["then"]}]}
            return made | ({"else": node["else"]} if node["else"] else {})
        case "map":
            inner_id = fresh(f"{node['id']}_each", taken)
            taken.add(inner_id)
            inner = {"id": inner_id, **_each(node)}
            return {"id": node["id"], "kind": "map", "over": node["over"], "node": inner}
        case _:
            return base


def _each(node: Node) -> Blueprint:
    if "tool" in node:
        return {"kind": "data", "tool": node["tool"], "args": node["args"]}
    prompt = node["prompt"]
    return {"kind": "compose", "prompt": prompt if "${item" in prompt else prompt + ITEM}


def _told(prompt: str) -> str:
    """A prompt that reads nothing of the run would be answered out of the air: it is given the request."""
    return prompt if "${" in prompt else prompt + REQUEST


def _entity_faults(draft: Mapping[str, Any], entities: Sequence[Entity]) -> Iterator[Fault]:
    named = {f"${{{entity.path}.{field}}}" for entity in entities for field in ENTITY_FIELDS}
    lists = {f"${{inputs.entities.{entity.kind}_all}}" for entity in entities if entity.place}
    for path, text in references.strings(draft):
        try:
            found = list(references.in_text(text))
        except references.MalformedReference:
            continue  # validation says so, with the place
        for reference in found:
            if reference.root != "inputs" or reference.steps[:1] != ("entities",):
                continue
            if str(reference) not in named | lists:
                known = ", ".join(sorted(named | lists))
                yield Fault(pointer(path), f"{reference} refers to no record", f"there are: {known}" if known else "")
