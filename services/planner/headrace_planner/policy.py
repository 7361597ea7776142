"""What the planner decides: which built-in blueprint fits, how it is fitted to a request, when to repair a draft. Pure.

The user's words never become part of a blueprint's references: a blueprint names them as `${inputs.message}`, and what must
stand in it, such as the titles of sources, is written as a literal.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from headrace_blueprint import references
from headrace_blueprint.faults import Fault

from headrace_planner import quizzes
from headrace_planner.drafts import Blueprint
from headrace_planner.model import Intent, Request

MAX_SOURCE_CHARS = 500
"""How much of the sources' titles goes into a query."""
MAX_FAULTS_SHOWN = 8
"""Faults that a model is shown at once: small models lose themselves in long lists."""
LEAST_S = 1.0
"""With less time than this no model is asked."""


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


def template_name(request: Request, *, answer_tokens: int = quizzes.WHOLE_TOKENS) -> str:
    """The library's blueprint for a quiz or, where a model's plan failed, a page.

    `answer_tokens` is the longest answer of the model that writes.
    """
    documents = bool(request.workspace or request.sources)
    if request.intent is Intent.QUIZ:
        return quizzes.name("quiz_passages" if documents else "quiz", request.message, answer_tokens=answer_tokens)
    return "build_passages" if documents else "build"


def fitted(
    document: Mapping[str, Any],
    request: Request,
    tools: Sequence[str] = (),
    *,
    answer_tokens: int = quizzes.WHOLE_TOKENS,
) -> Blueprint:
    """A blueprint with the request's model in its compose nodes, and its workspace and sources in its searches.

    The compose nodes' models may call `tools`. A quiz is fitted to what its model writes in one answer, and to the number
    of questions that the message names.
    """
    made: Blueprint = copy.deepcopy(dict(document))
    for node in _simple(made["nodes"]):
        if node["kind"] == "compose" and request.model:
            node["model"] = request.model
        if node["kind"] == "compose" and tools:
            node["tools"] = list(tools)
        if node["kind"] == "retrieve":
            node.setdefault("workspace", "${inputs.workspace}")
            if request.sources:
                titles = ", ".join(request.sources)[:MAX_SOURCE_CHARS]
                node["query"] = f"{node['query']} ({references.literal(titles)})"
    if request.intent is Intent.QUIZ:
        quizzes.fit(made, request.message, answer_tokens=answer_tokens)
    return made


def shown(faults: Sequence[Fault]) -> str:
    """Faults as a model reads them, one a line."""
    lines = [f"- {f.pointer or '/'}: {f.message}" + (f" ({f.hint})" if f.hint else "") for f in faults[:MAX_FAULTS_SHOWN]]
    if len(faults) > MAX_FAULTS_SHOWN:
        lines.append(f"- and {len(faults) - MAX_FAULTS_SHOWN} more")
    return "\n".join(lines)


def _simple(nodes: Sequence[Blueprint]) -> Iterator[Blueprint]:
    """The nodes, and of maps what they run for each item."""
    for node in nodes:
        yield node["node"] if node["kind"] == "map" else node
