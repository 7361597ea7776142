"""Faults of meaning in one node: kinds that cannot run, tools and arguments, workflows, CEL, names.

Reads the raw node and passes over whatever has the wrong shape: `shapes` has said so already.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_blueprint import references
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.model import ALL, REFERRING
from headrace_blueprint.schemas import Arguments, Schemas
from headrace_blueprint.scope import Path, References, Scope, unknown_node
from headrace_blueprint.shapes import nearest
from headrace_blueprint.sources import Sources

Tools = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class Document:
    """What the nodes of one document are checked against, and what they use up together."""

    tools: Tools
    kinds: frozenset[str]
    workflows: Collection[str] | None
    """Ids of the saved workflows; None: any."""
    needs: dict[str, set[str]]
    """The graph's edges found so far, by the node that waits; checks add to it."""
    guards: dict[tuple[str, str], Path] = field(default_factory=dict)
    """Where a branch names a node that it guards, by (node, branch)."""
    schemas: Schemas = field(default_factory=Schemas)
    references: References = field(default_factory=References)
    sources: Sources = field(default_factory=Sources)
    arguments: Arguments = field(init=False)

    def __post_init__(self) -> None:
        self.arguments = Arguments(self.tools)


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """Checks one node of the graph, a map's inner node with it, and notes what it needs."""

    document: Document
    owner: str
    """Its id."""
    needs: set[str]

    def faults(self, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        """Every fault of meaning in a node."""
        kind = node.get("kind")
        if isinstance(kind, str) and kind in ALL and kind not in self.document.kinds:
            yield Fault(
                pointer((*at, "kind")), f"nodes of kind {kind!r} cannot be run here", nearest("", self.document.kinds)
            )
        yield from self._names(items(node.get("needs")), (*at, "needs"), scope)
        yield from self._cel(node.get("when"), (*at, "when"), scope)
        yield from self._by_kind(kind, node, at, scope)
        for name in REFERRING:
            if name in node:
                for path, text in references.marked(node[name]):
                    yield from self.document.references.faults(text, (*at, name, *path), scope, self.needs)

    def _by_kind(self, kind: Any, node: Mapping[str, Any], at: Path, scope: Scope) -> Iterator[Fault]:
        match kind:
            case "data":
                yield from self._data(node, at)
            case "compute":
                yield from self._cel(node.get("expr"), (*at, "expr"), scope)
            case "compose":
                yield from self._compose(node, at)
            case "branch":
                yield from self._branch(node, at, scope)
            case "map":
                yield from self._map(node, at, scope)
            case "flow":
                yield from self._flow(node.get("workflow_id"), (*at, "workflow_id"))

    def _data(self, node: Mapping[str, Any], at: Path) -> Iterator[Fault]:
        tool, arguments = node.get("tool"), node.get("args", {})
        if not isinstance(tool, str):
            return
        if tool not in self.document.tools:
            yield self._unknown_tool(tool, (*at, "tool"))
        elif isinstance(arguments, Mapping):
            yield from self.document.arguments.faults(tool, arguments, (*at, "args"))

    def _compose(self, node: Mapping[str, Any], at: Path) -> Iterator[Fault]:
        if isinstance(node.get("schema"), Mapping):
            yield from self.document.schemas.faults(node["schema"], (*at, "schema"))
        tools = node.get("tools")
        if tools is None and node.get("max_iterations") is not None:
            yield Fault(
                pointer((*at, "max_iterations")), "there are no tools to call", "name them in tools, or leave this out"
            )
        seen: set[str] = set()
        for index, tool in enumerate(items(tools)):
            if isinstance(tool, str) and tool not in self.document.tools:
                yield self._unknown_tool(tool, (*at, "tools", index))
            elif isinstance(tool, str) and tool in seen:
                yield Fault(pointer((*at, "tools", index)), f"the tool {tool[:64]!r} is there twice", "take one away")
            elif isinstance(tool, str):
                seen.add(tool)

    def _unknown_tool(self, tool: str, at: Path) -> Fault:
        return Fault(pointer(at), f"there is no tool {tool[:64]!r}", nearest(tool, self.document.tools))

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
                    self.document.needs[name].add(self.owner)
                    self.document.guards.setdefault((name, self.owner), (*path, index))

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

    def _flow(self, workflow_id: Any, at: Path) -> Iterator[Fault]:
        known = self.document.workflows
        if not isinstance(workflow_id, str):
            return
        if "${" in workflow_id:
            yield Fault(pointer(at), "a reference cannot say which workflow runs", "write the workflow's id")
        elif known is not None and workflow_id not in known:
            yield Fault(pointer(at), f"there is no workflow {workflow_id[:64]!r}", nearest(workflow_id, known))

    def _names(self, names: list[Any], at: Path, scope: Scope) -> Iterator[Fault]:
        for index, name in enumerate(names):
            if isinstance(name, str):
                self.needs.add(name)
                if name not in scope.nodes:
                    yield unknown_node((*at, index), name, scope)

    def _cel(self, source: Any, at: Path, scope: Scope) -> Iterator[Fault]:
        if isinstance(source, str) and source:
            yield from self.document.sources.faults(source, at, scope, self.needs)


def items(value: Any) -> list[Any]:
    """A list's items; none when it is something else."""
    return value if isinstance(value, list) else []
