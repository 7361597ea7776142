"""A blueprint as its engine runs it: who waits for whom, in an order that respects it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from headrace_blueprint import references
from headrace_blueprint.expressions import compile_expression
from headrace_blueprint.model import Blueprint, Branch, Compute, Map, Node, NodeBase

Phase = Literal["data", "compute", "compose"]

PHASES: Mapping[str, Phase] = MappingProxyType(
    {
        "data": "data",
        "retrieve": "data",
        "flow": "data",
        "compute": "compute",
        "branch": "compute",
        "compose": "compose",
    }
)
"""The phase of each kind; a map has that of the node inside."""


class Cycle(ValueError):
    """Nodes wait for each other; `path` names them, the first again at the end."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__("these nodes wait for each other: " + " → ".join(path))
        self.path = path


@dataclass(frozen=True)
class Plan:
    """A valid blueprint with its edges worked out."""

    blueprint: Blueprint
    order: tuple[str, ...]
    """Every node after all that it needs; nodes that are free to run stay in the document's order."""
    needs: Mapping[str, frozenset[str]]
    """For each node: declared needs, references, names in CEL, and the branch that guards it."""
    dependents: Mapping[str, tuple[str, ...]]
    """For each node: the nodes that need it, in `order`."""

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Nodes by id, in `order`."""
        known = {node.id: node for node in self.blueprint.nodes}
        return MappingProxyType({name: known[name] for name in self.order})

    @cached_property
    def unblocks(self) -> Mapping[str, int]:
        """For each node: how many nodes wait for it, directly or not."""
        after: dict[str, set[str]] = {}
        for name in reversed(self.order):
            after[name] = set(self.dependents[name]).union(*(after[one] for one in self.dependents[name]))
        return MappingProxyType({name: len(after[name]) for name in self.order})

    @cached_property
    def guards(self) -> Mapping[str, tuple[str, ...]]:
        """For each node that branches guard: those branches. It runs when one of them chose it."""
        found: dict[str, list[str]] = {}
        for name, node in self.nodes.items():
            for one in sorted(guarded(node)) if isinstance(node, Branch) else ():
                found.setdefault(one, []).append(name)
        return MappingProxyType({name: tuple(branches) for name, branches in found.items()})

    @cached_property
    def phase(self) -> Mapping[str, Phase]:
        """For each node: the part of a page's making that it belongs to."""
        kinds = {name: node.node.kind if isinstance(node, Map) else node.kind for name, node in self.nodes.items()}
        return MappingProxyType({name: PHASES[kind] for name, kind in kinds.items()})


def compile_plan(blueprint: Blueprint) -> Plan:
    """Work out the edges of a blueprint that `validation` has passed. Raises Cycle if it has not."""
    needs = {node.id: set(needs_of(node)) for node in blueprint.nodes}
    for node in blueprint.nodes:
        if isinstance(node, Branch):
            for name in guarded(node):
                needs[name].add(node.id)
    order = sort(needs)
    dependents: dict[str, list[str]] = {name: [] for name in order}
    for name in order:
        for need in needs[name]:
            dependents[need].append(name)
    return Plan(
        blueprint,
        order,
        MappingProxyType({name: frozenset(needs[name]) for name in order}),
        MappingProxyType({name: tuple(waiting) for name, waiting in dependents.items()}),
    )


def needs_of(node: NodeBase) -> frozenset[str]:
    """The nodes that one node names, itself and its parts."""
    found = set(node.needs)
    values = node.model_dump(by_alias=True, exclude_unset=True, exclude={"id", "kind", "needs", "when", "expr", "cases"})
    found |= references.needs(values)
    sources = [node.when] if node.when else []
    if isinstance(node, Compute):
        sources.append(node.expr)
    if isinstance(node, Branch):
        sources += [case.when for case in node.cases]
    if isinstance(node, Map):
        found |= needs_of(node.node)
    for source in sources:
        found |= compile_expression(source).needs
    return frozenset(found)


def guarded(branch: Branch) -> frozenset[str]:
    """The nodes that a branch lets run or skips."""
    return frozenset(name for case in branch.cases for name in case.then) | frozenset(branch.else_)


def sort(needs: Mapping[str, set[str] | frozenset[str]]) -> tuple[str, ...]:
    """Topological order, stable in the mapping's order. Needs that are no keys are passed over. Raises Cycle."""
    waiting: dict[str, set[str]] = {name: {need for need in wants if need in needs} for name, wants in needs.items()}
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name, wants in waiting.items():
        for need in wants:
            dependents[need].append(name)
    ready = [name for name, wants in waiting.items() if not wants]
    order: list[str] = []
    for name in ready:  # grows while it is read
        order.append(name)
        for dependent in dependents[name]:
            waiting[dependent].discard(name)
            if not waiting[dependent]:
                ready.append(dependent)
    if len(order) < len(needs):
        raise Cycle(_cycle({name: wants for name, wants in waiting.items() if wants}))
    return tuple(order)


def _cycle(waiting: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Walk backwards from any node that waits until one comes again."""
    path: list[str] = []
    seen: dict[str, int] = {}
    name = next(iter(waiting))
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = min(waiting[name] & waiting.keys())
    circle = path[seen[name] :]
    circle.reverse()
    start = circle.index(min(circle))
    circle = circle[start:] + circle[:start]
    return (*circle, circle[0])
