"""Reads models.yaml into a `Registry`, or says everything that is wrong with it, each with its line."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from headrace_llm.errors import Fault, InvalidRegistry
from headrace_llm.registry import ModelEntry, ModelId, Registry, Role, TenantEntry

MAX_BYTES = 1024 * 1024
"""A larger models.yaml is a mistake."""

Path = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default: ModelId | None = None
    roles: dict[Role, ModelId] = Field(default_factory=dict)
    models: dict[ModelId, Any] = Field(min_length=1)
    tenants: dict[Annotated[str, StringConstraints(min_length=1, max_length=128)], TenantEntry] = Field(
        default_factory=dict
    )


def parse(text: str, *, source: str = "models.yaml") -> Registry:
    """Read the text of a models.yaml; `source` is its name in messages. Raises `InvalidRegistry` with every fault."""
    if len(text.encode()) > MAX_BYTES:
        raise InvalidRegistry(source, [Fault(0, "", f"larger than {MAX_BYTES} bytes")])
    root, value = _load(text, source)
    faults = [*_repeated(root)]
    file = _validate(_File, value, (), root, faults)
    raw = value.get("models") if isinstance(value, dict) else None
    entries = []
    for name, body in raw.items() if isinstance(raw, dict) else ():
        place: Path = ("models", name)
        if not isinstance(body, dict):
            faults.append(_fault(root, place, "must be a mapping with at least `model`"))
        elif "id" in body:
            faults.append(_fault(root, (*place, "id"), "the key of the mapping is the id"))
        elif entry := _validate(ModelEntry, {"id": str(name), **body}, place, root, faults):
            entries.append(entry)
    faults += _dangling(value, root)
    faults += _unequal_limits(entries, root)
    if faults or file is None:
        raise InvalidRegistry(source, sorted(set(faults), key=lambda fault: (fault.line, fault.path)))
    return Registry.of(entries, default=file.default or "", roles=file.roles, tenants=file.tenants)


def dump(registry: Registry) -> str:
    """The text of a models.yaml that parses to `registry`."""
    text: str = yaml.safe_dump(registry.to_json(), sort_keys=False, allow_unicode=True)
    return text


def _load(text: str, source: str) -> tuple[yaml.Node | None, Any]:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InvalidRegistry(source, [Fault(line, "", f"not YAML: {error.problem}")]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRegistry(source, [Fault(0, "", f"not YAML: {error}")]) from error


def _validate(cls: type[M], value: Any, place: Path, root: yaml.Node | None, faults: list[Fault]) -> M | None:
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        for one in error.errors():
            inner = tuple(part for part in one["loc"] if part != "[key]")
            if inner == ("id",):
                inner, one["msg"] = (), "an id has letters, digits and ._:/@- and starts with a letter or digit"
            faults.append(_fault(root, (*place, *inner), one["msg"]))
        return None


def _dangling(value: Any, root: yaml.Node | None) -> Iterator[Fault]:
    """Names that no model has."""
    if not isinstance(value, dict) or not isinstance(value.get("models"), dict):
        return
    models: Mapping[str, Any] = value["models"]
    named: list[tuple[Path, Any]] = [(("default",), value["default"])] if value.get("default") is not None else []
    roles = value.get("roles")
    named += [(("roles", role), name) for role, name in roles.items()] if isinstance(roles, dict) else []
    for owner, body in models.items():
        fallbacks = body.get("fallbacks") if isinstance(body, dict) else None
        for at, name in enumerate(fallbacks if isinstance(fallbacks, list) else ()):
            named.append((("models", owner, "fallbacks", at), name))
            if name == owner:
                yield _fault(root, ("models", owner, "fallbacks", at), "a model cannot be its own fallback")
    for place, name in named:
        if isinstance(name, str) and name not in models:
            yield _fault(root, place, f"no model {name!r} in models")


def _unequal_limits(entries: list[ModelEntry], root: yaml.Node | None) -> Iterator[Fault]:
    """Models that share a limit must agree on it."""
    first: dict[str, ModelEntry] = {}
    for entry in entries:
        other = first.setdefault(entry.scope, entry)
        if other.limits != entry.limits:
            message = f"shares its limit with {other.id} ({entry.scope}) and must have the same, or another account"
            yield _fault(root, ("models", entry.id, "limits"), message)


def _repeated(root: yaml.Node | None) -> Iterator[Fault]:
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


def _fault(root: yaml.Node | None, place: Path, message: str) -> Fault:
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
