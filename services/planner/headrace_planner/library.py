"""The built-in blueprints and prompts: data files of this package, read once at start."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson
from headrace_blueprint import tools, validation
from headrace_blueprint.faults import InvalidBlueprint

from headrace_planner.draft_schema import Language
from headrace_planner.model import RUNNABLE


@dataclass(frozen=True, slots=True)
class Library:
    """What is in the data files."""

    blueprints: Mapping[str, Mapping[str, Any]]
    """By file name without its ending; each is valid."""
    plan_prompts: Mapping[Language, str]
    repair_prompt: str
    patch_prompt: str
    patch_repair_prompt: str
    digest: str
    """Of all the files: a plan that others made is not reused."""


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
    texts = {file.name: file.read_text("utf-8") for file in prompts.iterdir() if file.name.endswith(".md")}
    return Library(
        MappingProxyType(blueprints),
        MappingProxyType({Language.COMPACT: texts["plan.md"], Language.FULL: texts["plan_full.md"]}),
        texts["repair.md"],
        texts["patch.md"],
        texts["patch_repair.md"],
        hashlib.sha256(orjson.dumps([blueprints, texts], option=orjson.OPT_SORT_KEYS)).hexdigest(),
    )
