"""Faults of meaning: names that nothing bears, tools and their arguments, CEL, cycles.

Reads the raw document and passes over whatever has the wrong shape: `shapes` has said so already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_blueprint import cel_engine, plan, references, schemas
from headrace_blueprint.expressions import InvalidExpression, compile_expression
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.model import ALL, MAX_NODES
from headrace_blueprint.shapes import nearest

Path = tuple[str | int, ...]
Tools = Mapping[str, Mapping[str, Any]]

_NO_REFERENCES = frozenset({"id", "kind", "needs", "when", "expr", "schema", "as", "cases", "else", "node", "tool"})
"""Fields of a node that are not searched for references: names, CEL, schemas, and a map's inner node, which has its own turn."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a place of the document may name."""

    nodes: frozenset[str]
    inputs: frozenset[str] | None
    """None: any."""
    item: str | None = None
    """The loop variable of the map around it."""

    @property
    def roots(self) -> frozenset[str]:
        """First words of references and variables of CEL."""
        return frozenset({"inputs", "nodes", self.item} - {None})  # type: ignore[arg-type]


@dataclass(slots=True)
class Edges:
    """The needs found so far, by node."""

    needs: dict[str, set[str]] = field(default_factory=dict)


def faults(document: Mapping[str, Any], *, tools: Tools, kinds: frozenset[str]) -> Iterator[Fault]:
    """Every fault of meaning that the document's shape lets us see."""
    nodes = [
        (index, node) for index, node in enumerate(_list(document.get("nodes"))[:MAX_NODES]) if isinstance(node, Mapping)
    ]
    ids = [node["id"] for _, node in nodes if isinstance(node.get("id"), str)]
    scope = Scope(frozenset(ids), _inputs(document))
    yield from _inputs_schema(document)
    yield from _duplicates(nodes)
    edges = Edges({name: set() for name in ids})
    for index, node in nodes:
        yield from _Node(tools, kinds, edges, str(node.get("id"))).faults(node, ("nodes", index), scope)
    yield from _cycle(edges, ids)
    yield from _output(document, scope)
    yield from _layout(document, scope)


def _inputs(document: Mapping[str, Any]) -> frozenset[str] | None:
    schema = document.get("inputs", {})
    if not isinstance(schema, Mapping) or schema.get("additionalProperties", False) is not False:
        return None
    return frozenset(schemas.properties(schema))


def _inputs_schema(document: Mapping[str, Any]) -> Iterator[Fault]:
    schema = document.get("inputs")
    if isinstance(schema, Mapping):
        yield from schemas.faults(schema, ("inputs",))


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


def _cycle(edges: Edges, ids: list[str]) -> Iterator[Fault]:
    try:
        plan.sort(edges.needs)
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
        yield from _references(output, ("output",), scope)


def _layout(document: Mapping[str, Any], scope: Scope) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, slot in enumerate(_list(document.get("layout"))[:MAX_NODES]):
        if not isinstance(slot, Mapping):
            continue
        node, name = slot.get("node"), slot.get("slot")
        if isinstance(node, str) and node not in scope.nodes:
            yield Fault(pointer(("layout", index, "node")), f"there is no node {node[:64]!r}", nearest(node, scope.nodes))
        if isinstance(name, str):
            if name in seen:
                yield Fault(pointer(("layout", index, "slot")), f"the slot {name[:64]!r} is there twice", "rename one")
            seen.add(name)


@dataclass(frozen=True, slots=True)
class _Node:
    """Checks one node and notes what it needs."""

    tools: Tools
    kinds: frozenset[str]
    edges: Edges
    owner: str
    """The node of the graph that the needs are noted for: a map, for its inner node."""

    def faults(self, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        kind = node.get("kind")
        if isinstance(kind, str) and kind in ALL and kind not in self.kinds:
            yield Fault(pointer((*at, "kind")), f"nodes of kind {kind!r} cannot be run yet", nearest("", self.kinds))
        yield from self._names(_list(node.get("needs")), (*at, "needs"), scope)
        yield from self._cel(node.get("when"), (*at, "when"), scope)
        yield from self._by_kind(kind, node, at, scope)
        for name, value in node.items():
            if name in _NO_REFERENCES or not isinstance(name, str):
                continue
            for path, text in references.strings(value):
                self._note(text)
                yield from _references(text, (*at, name, *path), scope)

    def _by_kind(self, kind: Any, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        match kind:
            case "data":
                yield from self._tool(node, at)
            case "compute":
                yield from self._cel(node.get("expr"), (*at, "expr"), scope)
            case "compose" if isinstance(node.get("schema"), Mapping):
                yield from schemas.faults(node["schema"], (*at, "schema"))
            case "branch":
                yield from self._branch(node, at, scope)
            case "map":
                yield from self._map(node, at, scope)

    def _tool(self, node: Mapping[str, Any], at: Path) -> Iterator[Fault]:
        tool, arguments = node.get("tool"), node.get("args", {})
        if not isinstance(tool, str):
            return
        schema = self.tools.get(tool)
        if schema is None:
            yield Fault(pointer((*at, "tool")), f"there is no tool {tool[:64]!r}", nearest(tool, self.tools))
            return
        if not isinstance(arguments, Mapping):
            return
        if schema.get("additionalProperties") is False:
            known = schemas.properties(schema)
            for name in arguments:
                if name not in known:
                    message = f"the tool {tool} takes no {str(name)[:64]!r}"
                    yield Fault(pointer((*at, "args", name)), message, nearest(str(name), known))
        yield from schemas.argument_faults(schema, arguments, (*at, "args"))

    def _branch(self, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        ways: list[tuple[Path, list[Any]]] = [((*at, "else"), _list(node.get("else")))]
        for index, case in enumerate(_list(node.get("cases"))):
            if isinstance(case, Mapping):
                yield from self._cel(case.get("when"), (*at, "cases", index, "when"), scope)
                ways.append(((*at, "cases", index, "then"), _list(case.get("then"))))
        for path, names in ways:
            for index, name in enumerate(names):
                if isinstance(name, str) and name not in scope.nodes:
                    yield _unknown_node((*path, index), name, scope)
                elif isinstance(name, str):
                    self.edges.needs[name].add(self.owner)

    def _map(self, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        over, inner = node.get("over"), node.get("node")
        if isinstance(over, str) and not references.is_reference(over):
            yield Fault(pointer((*at, "over")), "a map runs over one reference", "such as ${nodes.list.output}")
        item = node.get("as", "item")
        if item in ("inputs", "nodes"):
            yield Fault(pointer((*at, "as")), f"{item!r} means something else already", "call the item otherwise")
        elif isinstance(inner, Mapping):
            inside = Scope(scope.nodes, scope.inputs, item if isinstance(item, str) else None)
            yield from self.faults(inner, (*at, "node"), inside)

    def _names(self, names: list[Any], at: Path, scope: Scope) -> Iterator[Fault]:
        for index, name in enumerate(names):
            if isinstance(name, str):
                self._need(name)
                if name not in scope.nodes:
                    yield _unknown_node((*at, index), name, scope)

    def _cel(self, source: Any, at: Path, scope: Scope) -> Iterator[Fault]:
        if not isinstance(source, str) or not source:
            return
        try:
            expression = compile_expression(source)
        except InvalidExpression as error:
            yield Fault(pointer(at), f"the expression is wrong: {error}")
            return
        for name in sorted(expression.needs):
            self._need(name)
            if name not in scope.nodes:
                yield _unknown_node(at, name, scope)
        for name in sorted(expression.names - scope.roots):
            yield Fault(pointer(at), f"the expression names the unknown {name[:64]!r}", nearest(name, scope.roots))
        for name in sorted(expression.functions - cel_engine.FUNCTIONS):
            yield Fault(pointer(at), f"there is no function {name[:64]!r}", nearest(name, cel_engine.FUNCTIONS))
        if scope.inputs is not None:
            for name in sorted(expression.inputs - scope.inputs):
                yield _unknown_input(at, name, scope.inputs)

    def _note(self, text: str) -> None:
        try:
            for reference in references.in_text(text):
                if reference.node is not None:
                    self._need(reference.node)
        except references.MalformedReference:
            return  # `_references` reports it, with its place

    def _need(self, name: str) -> None:
        self.edges.needs.setdefault(self.owner, set()).add(name)


def _references(text: str, at: Path, scope: Scope) -> Iterator[Fault]:
    try:
        found = list(references.in_text(text))
    except references.MalformedReference as error:
        yield Fault(pointer(at), str(error), "such as ${inputs.x} or ${nodes.a.output}; $${ writes a plain ${")
        return
    for reference in found:
        if reference.root not in scope.roots:
            yield Fault(pointer(at), f"{reference} refers to nothing", nearest(reference.root, scope.roots))
        elif reference.root == "nodes":
            yield from _node_reference(reference, at, scope)
        elif reference.root == "inputs" and reference.steps and scope.inputs is not None:
            if reference.steps[0] not in scope.inputs:
                yield _unknown_input(at, str(reference.steps[0]), scope.inputs)


def _node_reference(reference: references.Reference, at: Path, scope: Scope) -> Iterator[Fault]:
    if reference.node is None:
        yield Fault(pointer(at), f"{reference} refers to no one node", "write ${nodes.ID.output}")
    elif reference.node not in scope.nodes:
        yield _unknown_node(at, reference.node, scope)
    elif reference.steps[1:2] != ("output",):
        yield Fault(pointer(at), f"{reference} refers to nothing", f"write ${{nodes.{reference.node}.output}}")


def _unknown_node(at: Path, name: str, scope: Scope) -> Fault:
    return Fault(pointer(at), f"there is no node {name[:64]!r}", nearest(name, scope.nodes))


def _unknown_input(at: Path, name: str, known: frozenset[str]) -> Fault:
    hint = nearest(name, known) if known else "declare it in /inputs/properties"
    return Fault(pointer(at), f"there is no input {name[:64]!r}", hint)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
