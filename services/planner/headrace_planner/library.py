"""The built-in blueprints and prompts: data files of this package, read once at start."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson
from headrace_blueprint import tools, validation
from headrace_blueprint.faults import InvalidBlueprint

from headrace_planner.model import RUNNABLE


@dataclass(frozen=True, slots=True)
class Library:
    """What is in the data files."""

    blueprints: Mapping[str, Mapping[str, Any]]
    """By file name without its ending; each is valid."""
    plan_prompt: str
    repair_prompt: str
    draft_schema: Mapping[str, Any]
    """Of a model's plan. Data nodes are left out: they depend on the tools that are allowed."""


def load() -> Library:
    """Read and check the files. Raises `InvalidBlueprint` when a built-in blueprint is none."""
    package = resources.files("headrace_planner")
    prompts = package / "prompts"
    blueprints = {
        file.name.removesuffix(".json"): orjson.loads(file.read_bytes())
        for file in (package / "blueprints").iterdir()
        if file.name.endswith(".json")
    }
    for name, document in blueprints.items():
        try:
            validation.parse(document, tools=tools.SCHEMAS, kinds=RUNNABLE)
        except InvalidBlueprint as error:
            error.add_note(f"in the built-in blueprint {name}")
            raise
    return Library(
        MappingProxyType(blueprints),
        (prompts / "plan.md").read_text("utf-8"),
        (prompts / "repair.md").read_text("utf-8"),
        orjson.loads((prompts / "draft.schema.json").read_bytes()),
    )
