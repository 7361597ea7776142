"""Whether a document is a blueprint: every fault at once, each with its JSON pointer. Pure, and total over JSON values.

Limits come first, then shape, then meaning; meaning is checked wherever the shape allows it, so that one wrong field does
not hide the others.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from headrace_blueprint import limits, meaning, shapes
from headrace_blueprint.faults import Fault, InvalidBlueprint
from headrace_blueprint.limits import loads
from headrace_blueprint.model import ALL, Blueprint

__all__ = ["MAX_FAULTS", "loads", "parse", "validate"]

MAX_FAULTS = 500
"""Most faults that one answer lists; one more says that there are others."""

Tools = Mapping[str, Mapping[str, Any]]
"""JSON Schema of the arguments by the tool's name."""


def validate(document: object, *, tools: Tools, kinds: frozenset[str] = ALL) -> list[Fault]:
    """List what is wrong with a document, in the document's order of checks; empty when it is a blueprint.

    `kinds` are the kinds of node that the reader can run: others are faults.
    """
    fault = limits.exceeded(document)
    if fault is not None:
        return [fault]
    if not isinstance(document, Mapping):
        return [Fault("", "a blueprint is a JSON object")]
    found = list(islice(_faults(document, tools, kinds), MAX_FAULTS + 1))
    if len(found) > MAX_FAULTS:
        found[MAX_FAULTS:] = [Fault("", f"there are more than {MAX_FAULTS} faults", "mend these first")]
    return found


def parse(document: object, *, tools: Tools, kinds: frozenset[str] = ALL) -> Blueprint:
    """Make a blueprint of a document. Raises InvalidBlueprint with every fault."""
    faults = validate(document, tools=tools, kinds=kinds)
    if faults:
        raise InvalidBlueprint(faults)
    return Blueprint.model_validate(document)


def _faults(document: Mapping[str, Any], tools: Tools, kinds: frozenset[str]) -> Iterator[Fault]:
    yield from shapes.faults(document)
    yield from meaning.faults(document, tools=tools, kinds=kinds)
