"""The tools of a plan: which there are, and which of many a model is told. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from headrace_blueprint.schemas import properties
from headrace_blueprint.tools import TOOLS, Tool

from headrace_planner.model import Request
from headrace_planner.words import words

BUILTIN = tuple(TOOLS.values())
NAME_WEIGHT = 3
"""A message's word in a tool's name counts as much as so many in its description or arguments."""


def allowed(request: Request) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The tools that data nodes may use, the request's own first, and a warning for each name that no tool bears."""
    there = {tool.name: tool for tool in (*request.tool_specs, *BUILTIN)}
    if not request.tools:
        return tuple(there.values()), ()
    known = tuple(tool for name, tool in there.items() if name in request.tools)
    unknown = sorted(set(request.tools) - there.keys())
    return known, tuple(f"there is no tool {name[:64]!r}; it was left out" for name in unknown)


def relevant(tools: Sequence[Tool], request: Request, *, most: int) -> tuple[Tool, ...]:
    """At most so many tools, in their order: those that share most words with the message and with what it speaks of.

    A word counts the less the more tools have it: "of" and "the" say nothing.
    """
    if len(tools) <= most:
        return tuple(tools)
    asked = _stems(" ".join([request.message, *(entity.kind for entity in request.entities)]))
    names = [_stems(tool.name) & asked for tool in tools]
    texts = [_stems(" ".join([tool.description, *properties(tool.input_schema)])) & asked for tool in tools]
    having = Counter(word for name, text in zip(names, texts, strict=True) for word in name | text)
    scores = [
        sum((NAME_WEIGHT if word in name else 1) / having[word] for word in sorted(name | text))
        for name, text in zip(names, texts, strict=True)
    ]
    ranked = sorted(range(len(tools)), key=lambda at: (-scores[at], at))
    return tuple(tools[at] for at in sorted(ranked[:most]))


def schemas(tools: Sequence[Tool]) -> Mapping[str, Mapping[str, Any]]:
    """What `validation.validate` takes as `tools`."""
    return {tool.name: tool.input_schema for tool in tools}


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in words(text)}


def _stem(word: str) -> str:
    """A plural counts as its singular: a message speaks of grades where a tool is called grade."""
    return word.removesuffix("s") if len(word) > 3 else word
