"""Whether a document is a blueprint: every fault at once, each with its JSON pointer. Pure, and total over JSON values.

Limits come first, then the version, then shape, then meaning; meaning is checked wherever the shape allows it, so that one
wrong field does not hide the others.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import chain, islice
from typing import Any

import orjson

from headrace_blueprint import limits, meaning, shapes
from headrace_blueprint.faults import Fault, InvalidBlueprint
from headrace_blueprint.limits import loads
from headrace_blueprint.model import ALL, VERSIONS, Blueprint

__all__ = ["MAX_FAULTS", "loads", "parse", "validate"]

MAX_FAULTS = 500
"""Most faults that one answer lists; one more says that there are others."""

Tools = Mapping[str, Mapping[str, Any]]
"""JSON Schema of the arguments by the tool's name."""


def validate(
    document: object, *, tools: Tools, kinds: frozenset[str] = ALL, workflows: Collection[str] | None = None
) -> list[Fault]:
    """List what is wrong with a document, in the document's order of checks; empty when it is a blueprint.

    `kinds` are the kinds of node that the reader can run: others are faults. `workflows` are the ids that a flow node may
    name, as a set or a mapping; without them any id passes.
    """
    return _read(document, tools, kinds, workflows)[1]


def parse(
    document: object, *, tools: Tools, kinds: frozenset[str] = ALL, workflows: Collection[str] | None = None
) -> Blueprint:
    """Make a blueprint of a document. Raises InvalidBlueprint with every fault."""
    blueprint, faults = _read(document, tools, kinds, workflows)
    if faults or blueprint is None:
        raise InvalidBlueprint(faults)
    return blueprint


def _read(
    document: object, tools: Tools, kinds: frozenset[str], workflows: Collection[str] | None
) -> tuple[Blueprint | None, list[Fault]]:
    fault = limits.exceeded(document)
    if fault is not None:
        return None, [fault]
    if not isinstance(document, Mapping):
        return None, [Fault("", "a blueprint is a JSON object")]
    fault = _unknown_version(document)
    if fault is not None:
        return None, [fault]
    shape = shapes.read(document)
    blueprint, of_shape = (shape, ()) if isinstance(shape, Blueprint) else (None, shape)
    of_meaning = meaning.faults(document, tools=tools, kinds=kinds, workflows=workflows)
    return blueprint, _listed(chain(of_shape, of_meaning))


def _unknown_version(document: Mapping[str, Any]) -> Fault | None:
    """A document of another version is of another language: what else seems wrong with it would be no help."""
    version = document.get("version", VERSIONS[0])
    if type(version) is int and version in VERSIONS:
        return None
    known, shown = ", ".join(map(str, VERSIONS)), orjson.dumps(version).decode()[:64]
    return Fault("/version", f"the version {shown} is unknown", f"this reader knows: {known}")


def _listed(faults: Iterable[Fault]) -> list[Fault]:
    found = list(islice(faults, MAX_FAULTS + 1))
    if len(found) > MAX_FAULTS:
        found[MAX_FAULTS:] = [Fault("", f"there are more than {MAX_FAULTS} faults", "mend these first")]
    return found
