"""Reads YAML and knows on which line everything stands."""

import difflib
import typing
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from headrace_runtime.settings import Fault

Path = tuple[str | int, ...]
"""Keys and positions from the top of a file to a part of it."""

M = TypeVar("M", bound=BaseModel)


def load(text: str) -> tuple[yaml.Node | None, Any, list[Fault]]:
    """The text's nodes, its value and, when it is no YAML, why."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text), []
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return None, None, [Fault(line, "", f"not YAML: {error.problem}")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, None, [Fault(0, "", f"not YAML: {error}")]


def validate(
    cls: type[M], value: Any, place: Path, root: yaml.Node | None, faults: list[Fault], *, key: str = ""
) -> M | None:
    """Make a `cls` of the value at `place`, or add what is wrong with it to `faults`.

    `key` says what the keys at `place` may be, for a `cls` whose field `id` is the key.
    """
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        for one in error.errors():
            inner = tuple(part for part in one["loc"] if part != "[key]")
            if key and inner == ("id",):
                inner, one["msg"] = (), key
            elif one["type"] == "extra_forbidden":
                one["msg"] = "there is no such setting" + nearest(str(inner[-1]), _settings(cls, inner[:-1]))
            faults.append(fault(root, (*place, *inner), one["msg"].removeprefix("Value error, ")))
        return None


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that `name` was probably meant to be, or ""."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _settings(cls: type[BaseModel], place: Path) -> set[str]:
    """The fields of the model that is at `place` in a `cls`."""
    found: list[type[BaseModel]] = [cls]
    for part in place:
        fields = [one.model_fields[str(part)].annotation for one in found if str(part) in one.model_fields]
        found = [model for annotation in fields for model in _models(annotation)] or found
    return {name for one in found for name in one.model_fields}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)


def repeated(root: yaml.Node | None) -> Iterator[Fault]:
    """Keys given twice, of which YAML would silently keep the last."""
    seen: set[int] = set()
    stack: list[tuple[Path, yaml.Node]] = [((), root)] if root else []
    while stack:
        place, node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            stack += [((*place, at), child) for at, child in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            continue
        keys: set[str] = set()
        for key, child in node.value:
            name = str(key.value)
            if name in keys:
                yield Fault(key.start_mark.line + 1, ".".join(map(str, (*place, name))), "given twice")
            keys.add(name)
            stack.append(((*place, name), child))


def fault(root: yaml.Node | None, place: Path, message: str) -> Fault:
    """A fault at the deepest part of `place` that the text has."""
    node, line = root, root.start_mark.line + 1 if root else 0
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return Fault(line, ".".join(map(str, place)), message)
