"""What a place of a blueprint may name, and the faults of naming something else."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from headrace_blueprint import references
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.shapes import nearest

Path = tuple[str | int, ...]

MAX_REFERENCES = 2000
"""Most references in a document; the same one counts each time."""


@dataclass(frozen=True)
class Scope:
    """What a place of the document may name."""

    nodes: frozenset[str]
    inputs: frozenset[str] | None
    """None: any."""
    item: str | None = None
    """The loop variable of the map around it."""

    @cached_property
    def roots(self) -> frozenset[str]:
        """First words of references and variables of CEL."""
        return frozenset({"inputs", "nodes", self.item} - {None})  # type: ignore[arg-type]


class References:
    """The references of one document. Their number is bounded."""

    def __init__(self) -> None:
        self._left = MAX_REFERENCES

    def faults(self, text: str, at: Path, scope: Scope, needs: set[str]) -> Iterator[Fault]:
        """What is wrong with the references of one string; the nodes that they name are added to `needs`."""
        if self._left < 0:
            return  # said once
        self._left -= text.count("${")
        if self._left < 0:
            yield Fault(pointer(at), f"the document has more than {MAX_REFERENCES} references", "refer to less")
            return
        for mark in references.marks(text):
            try:
                reference = references.read(mark)
            except references.MalformedReference as error:
                yield Fault(pointer(at), str(error), "such as ${inputs.x} or ${nodes.a.output}; $${ writes a plain ${")
                continue
            if reference.node is not None:
                needs.add(reference.node)
            yield from _faults(reference, at, scope)


def _faults(reference: references.Reference, at: Path, scope: Scope) -> Iterator[Fault]:
    if reference.root not in scope.roots:
        yield Fault(pointer(at), f"{reference} refers to nothing", nearest(reference.root, scope.roots))
    elif reference.root == "nodes":
        yield from _node_faults(reference, at, scope)
    elif reference.root == "inputs" and reference.steps:
        name = str(reference.steps[0])
        if scope.inputs is not None and name not in scope.inputs:
            yield unknown_input(at, name, scope.inputs)


def _node_faults(reference: references.Reference, at: Path, scope: Scope) -> Iterator[Fault]:
    if reference.node is None:
        yield Fault(pointer(at), f"{reference} refers to no one node", "write ${nodes.ID.output}")
    elif reference.node not in scope.nodes:
        yield unknown_node(at, reference.node, scope)
    elif reference.steps[1:2] != ("output",):
        yield Fault(pointer(at), f"{reference} refers to nothing", f"write ${{nodes.{reference.node}.output}}")


def unknown_node(at: Path, name: str, scope: Scope) -> Fault:
    """A name that no node bears."""
    return Fault(pointer(at), f"there is no node {name[:64]!r}", nearest(name, scope.nodes))


def unknown_input(at: Path, name: str, known: frozenset[str]) -> Fault:
    """A name that the inputs' schema does not have."""
    hint = nearest(name, known) if known else "declare it in /inputs/properties"
    return Fault(pointer(at), f"there is no input {name[:64]!r}", hint)
