"""Faults of meaning in the whole document: duplicate ids, cycles, inputs, output, layout, and each node's own.

Reads the raw document and passes over whatever has the wrong shape: `shapes` has said so already.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from headrace_blueprint import plan, references, schemas
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.model import MAX_NODES
from headrace_blueprint.nodes import NodeCheck, Tools, items
from headrace_blueprint.scope import Path, Scope, reference_faults
from headrace_blueprint.shapes import nearest


def faults(document: Mapping[str, Any], *, tools: Tools, kinds: frozenset[str]) -> Iterator[Fault]:
    """Every fault of meaning that the document's shape lets us see."""
    nodes = [
        (index, node) for index, node in enumerate(items(document.get("nodes"))[:MAX_NODES]) if isinstance(node, Mapping)
    ]
    ids = [node["id"] for _, node in nodes if isinstance(node.get("id"), str)]
    scope = Scope(frozenset(ids), _inputs(document))
    checked = schemas.Schemas()
    if isinstance(document.get("inputs"), Mapping):
        yield from checked.faults(document["inputs"], ("inputs",))
    yield from _duplicates(nodes)
    needs: dict[str, set[str]] = {name: set() for name in ids}
    for index, node in nodes:
        yield from NodeCheck(tools, kinds, checked, needs, str(node.get("id"))).faults(node, ("nodes", index), scope)
    yield from _cycle(needs, ids)
    yield from _output(document, scope)
    yield from _layout(document, scope)


def _inputs(document: Mapping[str, Any]) -> frozenset[str] | None:
    schema = document.get("inputs", {})
    if not isinstance(schema, Mapping) or schema.get("additionalProperties", False) is not False:
        return None
    return frozenset(schemas.properties(schema))


def _duplicates(nodes: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Fault]:
    places: list[tuple[Path, Any]] = []
    for index, node in nodes:
        places.append((("nodes", index, "id"), node.get("id")))
        inner = node.get("node")
        if isinstance(inner, Mapping):
            places.append((("nodes", index, "node", "id"), inner.get("id")))
    seen: dict[str, Path] = {}
    for path, name in places:
        if isinstance(name, str) and seen.setdefault(name, path) != path:
            yield Fault(pointer(path), f"the id {name[:64]!r} is taken by {pointer(seen[name][:-1])}", "give it another id")


def _cycle(needs: dict[str, set[str]], ids: list[str]) -> Iterator[Fault]:
    try:
        plan.sort({name: needs[name] for name in ids})
    except plan.Cycle as error:
        index = ids.index(error.path[0])
        yield Fault(pointer(("nodes", index)), str(error), "take one of these needs or references away")


def _output(document: Mapping[str, Any], scope: Scope) -> Iterator[Fault]:
    output = document.get("output")
    if not isinstance(output, str):
        return
    if not references.is_reference(output):
        yield Fault("/output", "the output is one reference", "such as ${nodes.answer.output}")
    else:
        yield from reference_faults(output, ("output",), scope)


def _layout(document: Mapping[str, Any], scope: Scope) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, slot in enumerate(items(document.get("layout"))[:MAX_NODES]):
        if not isinstance(slot, Mapping):
            continue
        node, name = slot.get("node"), slot.get("slot")
        if isinstance(node, str) and node not in scope.nodes:
            yield Fault(pointer(("layout", index, "node")), f"there is no node {node[:64]!r}", nearest(node, scope.nodes))
        if isinstance(name, str):
            if name in seen:
                yield Fault(pointer(("layout", index, "slot")), f"the slot {name[:64]!r} is there twice", "rename one")
            seen.add(name)
