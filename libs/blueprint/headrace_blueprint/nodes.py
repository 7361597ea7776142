"""Faults of meaning in one node: kinds that cannot run, tools and arguments, CEL, names.

Reads the raw node and passes over whatever has the wrong shape: `shapes` has said so already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_blueprint import cel_engine, references
from headrace_blueprint.expressions import InvalidExpression, compile_expression
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.model import ALL
from headrace_blueprint.schemas import Schemas, argument_faults
from headrace_blueprint.scope import Path, Scope, reference_faults, unknown_input, unknown_node
from headrace_blueprint.shapes import nearest

Tools = Mapping[str, Mapping[str, Any]]

_NO_REFERENCES = frozenset({"id", "kind", "needs", "when", "expr", "schema", "as", "cases", "else", "node", "tool"})
"""Fields of a node not searched for references: names, CEL, schemas, and a map's inner node, which has its turn."""


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """Checks one node and notes what it needs."""

    tools: Tools
    kinds: frozenset[str]
    schemas: Schemas
    needs: dict[str, set[str]]
    """The graph's edges found so far, by the node that waits; checks add to it."""
    owner: str
    """The node of the graph that the needs are noted for: a map, for its inner node."""

    def faults(self, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        """Every fault of meaning in a node."""
        kind = node.get("kind")
        if isinstance(kind, str) and kind in ALL and kind not in self.kinds:
            yield Fault(pointer((*at, "kind")), f"nodes of kind {kind!r} cannot be run yet", nearest("", self.kinds))
        yield from self._names(items(node.get("needs")), (*at, "needs"), scope)
        yield from self._cel(node.get("when"), (*at, "when"), scope)
        yield from self._by_kind(kind, node, at, scope)
        for name, value in node.items():
            if name in _NO_REFERENCES or not isinstance(name, str):
                continue
            for path, text in references.strings(value):
                self._note(text)
                yield from reference_faults(text, (*at, name, *path), scope)

    def _by_kind(self, kind: Any, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        match kind:
            case "data":
                yield from self._tool(node, at)
            case "compute":
                yield from self._cel(node.get("expr"), (*at, "expr"), scope)
            case "compose" if isinstance(node.get("schema"), Mapping):
                yield from self.schemas.faults(node["schema"], (*at, "schema"))
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
        if isinstance(arguments, Mapping):
            yield from argument_faults(schema, arguments, (*at, "args"))

    def _branch(self, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        ways: list[tuple[Path, list[Any]]] = [((*at, "else"), items(node.get("else")))]
        for index, case in enumerate(items(node.get("cases"))):
            if isinstance(case, Mapping):
                yield from self._cel(case.get("when"), (*at, "cases", index, "when"), scope)
                ways.append(((*at, "cases", index, "then"), items(case.get("then"))))
        for path, names in ways:
            for index, name in enumerate(names):
                if isinstance(name, str) and name not in scope.nodes:
                    yield unknown_node((*path, index), name, scope)
                elif isinstance(name, str):
                    self.needs[name].add(self.owner)

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
                    yield unknown_node((*at, index), name, scope)

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
                yield unknown_node(at, name, scope)
        for name in sorted(expression.names - scope.roots):
            yield Fault(pointer(at), f"the expression names the unknown {name[:64]!r}", nearest(name, scope.roots))
        for name in sorted(expression.functions - cel_engine.FUNCTIONS):
            yield Fault(pointer(at), f"there is no function {name[:64]!r}", nearest(name, cel_engine.FUNCTIONS))
        if scope.inputs is not None:
            for name in sorted(expression.inputs - scope.inputs):
                yield unknown_input(at, name, scope.inputs)

    def _note(self, text: str) -> None:
        try:
            for reference in references.in_text(text):
                if reference.node is not None:
                    self._need(reference.node)
        except references.MalformedReference:
            return  # `reference_faults` reports it, with its place

    def _need(self, name: str) -> None:
        self.needs.setdefault(self.owner, set()).add(name)


def items(value: Any) -> list[Any]:
    """A list's items; none when it is something else."""
    return value if isinstance(value, list) else []
