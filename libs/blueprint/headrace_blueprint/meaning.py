"""Faults of meaning in the whole document: duplicate ids, cycles, inputs, output, layout, and each node's own.

Reads the raw document and passes over whatever has the wrong shape: `shapes` has said so already.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any

from headrace_blueprint import plan, references, schemas
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.model import MAX_NODES
from headrace_blueprint.nodes import Document, NodeCheck, Tools, items
from headrace_blueprint.scope import Path, Scope, unknown_node


def faults(
    document: Mapping[str, Any], *, tools: Tools, kinds: frozenset[str], workflows: Collection[str] | None
) -> Iterator[Fault]:
    """Every fault of meaning that the document's shape lets us see."""
    nodes = [
        (index, node) for index, node in enumerate(items(document.get("nodes"))[:MAX_NODES]) if isinstance(node, Mapping)
    ]
    places: dict[str, int] = {}
    for index, node in nodes:
        if isinstance(node.get("id"), str):
            places.setdefault(node["id"], index)
    scope = Scope(frozenset(places), _inputs(document))
    checked = Document(tools, kinds, workflows, {name: set() for name in places})
    if isinstance(document.get("inputs"), Mapping):
        yield from checked.schemas.faults(document["inputs"], ("inputs",))
    yield from _duplicates(nodes)
    for index, node in nodes:
        name = str(node.get("id"))
        yield from NodeCheck(checked, name, checked.needs.setdefault(name, set())).faults(node, ("nodes", index), scope)
    yield from _cycles(checked, places)
    yield from _output(document, checked, scope)
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


def _cycles(checked: Document, places: Mapping[str, int]) -> Iterator[Fault]:
    try:
        plan.sort({name: checked.needs[name] for name in places})
    except plan.Cycle as error:
        for path in error.paths:
            yield _cycle(path, checked.guards, places)


def _cycle(path: tuple[str, ...], guards: Mapping[tuple[str, str], Path], places: Mapping[str, int]) -> Fault:
    for branch, name in pairwise(path):
        if at := guards.get((name, branch)):
            said = f"the branch {branch[:64]!r} decides whether {name[:64]!r} runs, and waits for it: {_shown(path)}"
            return Fault(pointer(at), said, f"let the branch decide by something that does not need {name[:64]!r}")
    at = ("nodes", places[path[0]])
    said = f"these nodes wait for each other: {_shown(path)}"
    return Fault(pointer(at), said, "take one of these needs or references away")


def _shown(path: tuple[str, ...]) -> str:
    names = [name[:64] for name in path]
    return " → ".join(names if len(names) <= 12 else [*names[:6], "…", *names[-5:]])


def _output(document: Mapping[str, Any], checked: Document, scope: Scope) -> Iterator[Fault]:
    output = document.get("output")
    if not isinstance(output, str):
        return
    if not references.is_reference(output):
        yield Fault("/output", "the output is one reference", "such as ${nodes.answer.output}")
    else:
        yield from checked.references.faults(output, ("output",), scope, set())


def _layout(document: Mapping[str, Any], scope: Scope) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, slot in enumerate(items(document.get("layout"))[:MAX_NODES]):
        if not isinstance(slot, Mapping):
            continue
        node, name = slot.get("node"), slot.get("slot")
        if isinstance(node, str) and node not in scope.nodes:
            yield unknown_node(("layout", index, "node"), node, scope)
        if isinstance(name, str):
            if name in seen:
                yield Fault(pointer(("layout", index, "slot")), f"the slot {name[:64]!r} is there twice", "rename one")
            seen.add(name)
