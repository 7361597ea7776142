"""Reads models.yaml into a `Registry`, or says everything that is wrong with it, each with its line."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import yaml
from headrace_runtime import yaml_lines
from headrace_runtime.settings import Fault
from headrace_runtime.yaml_lines import Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from headrace_llm.errors import InvalidRegistry
from headrace_llm.registry import ModelEntry, ModelId, Registry, Role, TenantEntry

MAX_BYTES = 1024 * 1024
"""A larger models.yaml is a mistake."""
KEY = "an id has letters, digits and ._:/@- and starts with a letter or digit"


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
    root, value, broken = yaml_lines.load(text)
    if broken:
        raise InvalidRegistry(source, broken)
    faults = [*yaml_lines.repeated(root)]
    file = yaml_lines.validate(_File, value, (), root, faults)
    raw = value.get("models") if isinstance(value, dict) else None
    entries = []
    for name, body in raw.items() if isinstance(raw, dict) else ():
        place: Path = ("models", name)
        if not isinstance(body, dict):
            faults.append(yaml_lines.fault(root, place, "must be a mapping with at least `model`"))
        elif "id" in body:
            faults.append(yaml_lines.fault(root, (*place, "id"), "the key of the mapping is the id"))
        elif entry := yaml_lines.validate(ModelEntry, {"id": str(name), **body}, place, root, faults, key=KEY):
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
                yield yaml_lines.fault(root, ("models", owner, "fallbacks", at), "a model cannot be its own fallback")
    for place, name in named:
        if isinstance(name, str) and name not in models:
            yield yaml_lines.fault(root, place, f"no model {name!r} in models")


def _unequal_limits(entries: list[ModelEntry], root: yaml.Node | None) -> Iterator[Fault]:
    """Models that share a limit must agree on it."""
    first: dict[str, ModelEntry] = {}
    for entry in entries:
        other = first.setdefault(entry.scope, entry)
        if other.limits != entry.limits:
            message = f"shares its limit with {other.id} ({entry.scope}) and must have the same, or another account"
            yield yaml_lines.fault(root, ("models", entry.id, "limits"), message)
