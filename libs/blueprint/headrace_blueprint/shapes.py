"""Faults of shape: missing, unknown and wrongly typed fields, with the place in the document and the nearest right name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import pydantic
from rapidfuzz import fuzz, process

from headrace_blueprint import model
from headrace_blueprint.faults import Fault, pointer

ALIKE = 60.0
"""How alike two names are, of 100, for one to be taken for the other."""


MAX_AT_ONCE = 500
"""More errors than this are described node by node: most of them will not be asked for."""


def read(document: Mapping[str, Any]) -> model.Blueprint | Iterator[Fault]:
    """The blueprint that a document has the shape of, or else every fault of its shape."""
    try:
        return model.Blueprint.model_validate(document)
    except pydantic.ValidationError as error:
        many = error.error_count() > MAX_AT_ONCE
        return _faults(document, _piecemeal(document) if many else _details(error))


def _details(error: pydantic.ValidationError) -> Iterable[Mapping[str, Any]]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _piecemeal(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    nodes = document.get("nodes")
    in_pieces = isinstance(nodes, list) and 0 < len(nodes) <= model.MAX_NODES
    try:
        model.Blueprint.model_validate({**document, "nodes": []} if in_pieces else document)
    except pydantic.ValidationError as error:
        yield from (detail for detail in _details(error) if not in_pieces or detail["loc"] != ("nodes",))
    for index, node in enumerate(nodes if in_pieces else ()):  # type: ignore[arg-type]
        try:
            _node().validate_python(node)
        except pydantic.ValidationError as error:
            yield from ({**detail, "loc": ("nodes", index, *detail["loc"])} for detail in _details(error))


@cache
def _node() -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(model.Node)


def _faults(document: Mapping[str, Any], details: Iterable[Mapping[str, Any]]) -> Iterator[Fault]:
    for detail in details:
        path, parent = _locate(document, detail["loc"])
        yield Fault(pointer(path), *_text(detail["type"], detail["msg"], path, parent))


def like(name: str, known: Iterable[str], percent: float = ALIKE) -> str | None:
    """The name that is most like this one, if one is so much like it."""
    found = process.extractOne(name[:64], list(known), scorer=fuzz.ratio, score_cutoff=percent)
    return found[0] if found else None


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names what was probably meant, or what there is."""
    choices = _sorted(frozenset(known))
    if close := like(name, choices):
        return f"did you mean {close!r}?"
    return "there are: " + ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "") if choices else "there are none"


@lru_cache(maxsize=8)
def _sorted(known: frozenset[str]) -> Sequence[str]:
    """In an order that does not change, for names that are equally near."""
    return sorted(known)


def _locate(document: Any, loc: Sequence[str | int]) -> tuple[tuple[str | int, ...], Any]:
    """The JSON path of a pydantic location, which also names the union's member, and the object that it ends in."""
    path: list[str | int] = []
    value = parent = document
    tagged = False
    for part in loc:
        if isinstance(value, Mapping) and not tagged and part in model.ALL and value.get("kind") == part:
            tagged = True
            continue
        tagged = False
        path.append(part)
        parent = value
        if isinstance(value, Mapping):
            value = value.get(part) if isinstance(part, str) else None
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            value = None
    return tuple(path), parent if path else document


def _text(kind: str, message: str, path: tuple[str | int, ...], parent: Any) -> tuple[str, str]:
    name = str(path[-1]) if path else ""
    match kind:
        case "missing":
            return f"the field {name!r} is missing", "add it"
        case "extra_forbidden":
            return f"there is no field {name[:64]!r} here", nearest(name, _fields(path, parent))
        case "union_tag_not_found":
            return "the node has no kind", nearest("", model.ALL)
        case "union_tag_invalid":
            return _wrong_kind(path, parent)
        case "string_pattern_mismatch":
            return "this is no name", "a letter or _, then letters, digits or _, 64 at most"
        case _:
            return message[:1].lower() + message[1:], ""


def _wrong_kind(path: tuple[str | int, ...], parent: Any) -> tuple[str, str]:
    node = parent[path[-1]] if path else {}
    kind = str(node.get("kind", ""))
    if kind in model.ALL:
        return f"a map cannot run a node of kind {kind!r}", nearest("", model.SIMPLE)
    return "the node's kind is unknown", nearest(kind, model.SIMPLE if path[-1:] == ("node",) else model.ALL)


def _fields(path: tuple[str | int, ...], parent: Any) -> Sequence[str]:
    match path:
        case (_,):
            return model.field_names(model.Blueprint)
        case (*_, "retry", _):
            return model.field_names(model.Retry)
        case ("layout", int(), _):
            return model.field_names(model.Slot)
        case (*_, "cases", int(), _):
            return model.field_names(model.Case)
    kind = parent.get("kind") if isinstance(parent, Mapping) else None
    known = model.NODE_TYPES.get(kind) if isinstance(kind, str) else None
    return model.field_names(known) if known else ()
