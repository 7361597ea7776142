"""A blueprint as its engine runs it: who waits for whom, in an order that respects it. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from headrace_blueprint import references
from headrace_blueprint.expressions import compile_expression
from headrace_blueprint.model import NODE_TYPES, REFERRING, Blueprint, Branch, Compute, Map, Node

Phase = Literal["data", "compute", "compose"]

_PHASES: Mapping[str, Phase] = {
    "data": "data",
    "retrieve": "data",
    "flow": "data",
    "compute": "compute",
    "branch": "compute",
    "compose": "compose",
}

_REFERRING = {kind: [name for name in REFERRING if name in shape.model_fields] for kind, shape in NODE_TYPES.items()}


class Cycle(ValueError):
    """Nodes wait for each other; `paths` name them, each first node again at its end."""

    def __init__(self, paths: tuple[tuple[str, ...], ...]) -> None:
        super().__init__("these nodes wait for each other: " + " → ".join(paths[0]))
        self.paths = paths

    @property
    def path(self) -> tuple[str, ...]:
        """The first cycle."""
        return self.paths[0]


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
    guards: Mapping[str, tuple[str, ...]]
    """For each node: the branches that let it run or skip it, in `order`; most have none."""
    phase: Mapping[str, Phase]
    """For each node: the part of a page's making that it belongs to. A map is where its inner node is."""

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Nodes by id, in `order`."""
        known = {node.id: node for node in self.blueprint.nodes}
        return MappingProxyType({name: known[name] for name in self.order})

    @cached_property
    def unblocks(self) -> Mapping[str, int]:
        """For each node: how many nodes wait for it, directly or not."""
        after: dict[str, int] = {}  # a bit for each node
        for place, name in reversed(list(enumerate(self.order))):
            bits = 1 << place
            for one in self.dependents[name]:
                bits |= after[one]
            after[name] = bits
        return MappingProxyType({name: after[name].bit_count() - 1 for name in self.order})


def compile_plan(blueprint: Blueprint) -> Plan:
    """Work out the edges of a blueprint that `validation` has passed. Raises Cycle if it has not."""
    needs = {node.id: set(needs_of(node)) for node in blueprint.nodes}
    guards: dict[str, list[str]] = {name: [] for name in needs}
    for node in blueprint.nodes:
        if isinstance(node, Branch):
            for name in guarded(node):
                needs[name].add(node.id)
                guards[name].append(node.id)
    order = sort(needs)
    place = {name: index for index, name in enumerate(order)}
    dependents: dict[str, list[str]] = {name: [] for name in order}
    for name in order:
        for need in needs[name]:
            dependents[need].append(name)
    phases = {node.id: _PHASES[node.node.kind if isinstance(node, Map) else node.kind] for node in blueprint.nodes}
    return Plan(
        blueprint,
        order,
        MappingProxyType({name: frozenset(needs[name]) for name in order}),
        MappingProxyType({name: tuple(waiting) for name, waiting in dependents.items()}),
        MappingProxyType({name: tuple(sorted(guards[name], key=place.__getitem__)) for name in order}),
        MappingProxyType({name: phases[name] for name in order}),
    )


def needs_of(node: Node) -> frozenset[str]:
    """The nodes that one node names, itself and its parts."""
    found = set(node.needs)
    for name in _REFERRING[node.kind]:
        if value := getattr(node, name):
            found |= references.needs(value)
    for source in _sources(node):
        found |= compile_expression(source).needs
    if isinstance(node, Map):
        found |= needs_of(node.node)
    return frozenset(found)


def _sources(node: Node) -> Iterator[str]:
    if node.when:
        yield node.when
    if isinstance(node, Compute):
        yield node.expr
    if isinstance(node, Branch):
        yield from (case.when for case in node.cases)


def guarded(branch: Branch) -> frozenset[str]:
    """The nodes that a branch lets run or skips."""
    return frozenset(name for case in branch.cases for name in case.then) | frozenset(branch.else_)


def sort(needs: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Topological order, stable in the mapping's order. Needs that are no keys are passed over. Raises Cycle."""
    waits: dict[str, int] = {}
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name, wants in needs.items():
        known = [need for need in wants if need in dependents]
        waits[name] = len(known)
        for need in known:
            dependents[need].append(name)
    ready = [name for name, count in waits.items() if not count]
    order: list[str] = []
    for name in ready:  # grows while it is read
        order.append(name)
        for dependent in dependents[name]:
            waits[dependent] -= 1
            if not waits[dependent]:
                ready.append(dependent)
    if len(order) < len(needs):
        raise Cycle(tuple(_cycles({name: needs[name] for name, count in waits.items() if count})))
    return tuple(order)


def _cycles(waiting: Mapping[str, Collection[str]]) -> Iterator[tuple[str, ...]]:
    """Cycles that share no node, of nodes each of which waits for another of them.

    From each node to the first of those that it waits for: such a walk ends in a cycle. Of those that cross only one is
    told.
    """
    done: set[str] = set()
    for start in waiting:
        path: dict[str, None] = {}
        name = start
        while name not in done and name not in path:
            path[name] = None
            name = min(need for need in waiting[name] if need in waiting)
        if name in path:
            names = list(path)
            circle = names[names.index(name) :][::-1]  # as outputs flow: against the waiting
            first = circle.index(min(circle))
            circle = circle[first:] + circle[:first]
            yield (*circle, circle[0])
        done |= path.keys()
