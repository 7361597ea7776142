"""What the planner decides: which built-in blueprint fits, what a model's draft becomes, when to repair it. Pure.

The user's words never become part of a blueprint's references: a blueprint names them as `${inputs.message}`, and what must
stand in it, such as the titles of sources, is written as a literal.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import count
from typing import Any

from headrace_blueprint import references
from headrace_blueprint.faults import Fault
from headrace_blueprint.tools import TOOLS, Tool

from headrace_planner.model import Intent, Request

MAX_SOURCE_CHARS = 500
"""How much of the sources' titles goes into a query."""
MAX_FAULTS_SHOWN = 8
"""Faults that a model is shown at once: small models lose themselves in long lists."""
LEAST_S = 1.0
"""With less time than this no model is asked."""

Blueprint = dict[str, Any]


class Step(StrEnum):
    """What to do with a draft."""

    ACCEPT = "accept"
    REPAIR = "repair"
    GIVE_UP = "give_up"


def next_step(*, faults: Sequence[Fault], repeated: bool, repairs: int, max_repairs: int, left_s: float) -> Step:
    """Whether a draft is good, worth another question, or given up for the template.

    A model that writes the same wrong draft again (`repeated`) would only write it a third time.
    """
    if not faults:
        return Step.ACCEPT
    if repeated or repairs >= max_repairs or left_s < LEAST_S:
        return Step.GIVE_UP
    return Step.REPAIR


def is_planned_by_model(intent: Intent) -> bool:
    """Whether a model writes the plan; the other intents have built-in ones."""
    return intent in (Intent.BUILD, Intent.PATCH)


def builtin_name(request: Request) -> str:
    """The built-in blueprint for a request; for those that a model plans, their template."""
    documents = bool(request.workspace or request.sources)
    match request.intent:
        case Intent.CHAT:
            return "chat_followup" if request.history else "chat"
        case Intent.QA:
            return "qa_followup" if request.history else "qa"
        case Intent.QUIZ:
            return "quiz_passages" if documents else "quiz"
        case Intent.BUILD | Intent.PATCH:
            return "build_passages" if documents else "build"


def fitted(document: Mapping[str, Any], request: Request) -> Blueprint:
    """A blueprint with the request's model in its compose nodes, and its workspace and sources in its searches."""
    made: Blueprint = copy.deepcopy(dict(document))
    for node in made["nodes"]:
        if node["kind"] == "compose" and request.model:
            node["model"] = request.model
        if node["kind"] == "retrieve":
            node.setdefault("workspace", "${inputs.workspace}")
            if request.sources:
                titles = ", ".join(request.sources)[:MAX_SOURCE_CHARS]
                node["query"] = f"{node['query']} ({references.literal(titles)})"
    return made


def tidied(draft: Mapping[str, Any]) -> Mapping[str, Any]:
    """A draft whose ids differ and whose every node writes something or is used.

    Small models repeat nodes and call tools for nothing. Mending that here costs no question; a name that two nodes bear
    goes to the first.
    """
    nodes: list[Mapping[str, Any]] = []
    taken: set[str] = set()
    for node in draft["nodes"]:
        if node not in nodes:
            name = next(name for name in _names(node["id"]) if name not in taken)
            taken.add(name)
            nodes.append({**node, "id": name})
    while useless := [node for node in nodes if node["kind"] != "compose" and not _is_used(node, nodes)]:
        nodes = [node for node in nodes if node not in useless]
    return {**draft, "nodes": nodes or draft["nodes"]}


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))


def _is_used(node: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> bool:
    pattern = re.compile(rf"\bnodes\.{re.escape(node['id'])}\b")
    return any(pattern.search(text) for other in nodes if other is not node for _, text in references.strings(other))


def from_draft(draft: Mapping[str, Any], template: Mapping[str, Any]) -> Blueprint:
    """The whole blueprint of a draft: each compose node fills a slot under its title, and the first one is the reply."""
    composed = [node for node in draft["nodes"] if node["kind"] == "compose"]
    return {
        "version": template["version"],
        "name": draft["name"],
        "inputs": template["inputs"],
        "nodes": [{key: value for key, value in node.items() if key != "title"} for node in draft["nodes"]],
        "layout": [{"slot": node["id"], "title": node["title"], "node": node["id"]} for node in composed],
        "output": f"${{nodes.{composed[0]['id']}.output}}" if composed else "",
    }


def allowed_tools(names: Sequence[str]) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The tools that data nodes may use, and a warning for each name that no tool bears."""
    if not names:
        return tuple(TOOLS.values()), ()
    known = tuple(tool for name, tool in TOOLS.items() if name in names)
    unknown = sorted(set(names) - TOOLS.keys())
    return known, tuple(f"there is no tool {name[:64]!r}; it was left out" for name in unknown)


def draft_faults(draft: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a draft beyond its schema and its blueprint."""
    if any(node["kind"] == "compose" for node in draft["nodes"]):
        return []
    return [Fault("/nodes", "no node writes anything", "add a compose node for each section")]


def shown(faults: Sequence[Fault]) -> str:
    """Faults as a model reads them, one a line."""
    lines = [f"- {f.pointer or '/'}: {f.message}" + (f" ({f.hint})" if f.hint else "") for f in faults[:MAX_FAULTS_SHOWN]]
    if len(faults) > MAX_FAULTS_SHOWN:
        lines.append(f"- and {len(faults) - MAX_FAULTS_SHOWN} more")
    return "\n".join(lines)
