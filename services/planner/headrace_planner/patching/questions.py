"""The question for a change: what the page has, and the JSON Schema of the answer. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from headrace_llm.client import Message

from headrace_planner import questions
from headrace_planner.model import Brief
from headrace_planner.patching import policy
from headrace_planner.patching.model import MAX_PREVIEW_CHARS, MAX_TITLE, Addition, Change, Page, PatchRequest

MAX_TOKENS = 400
"""Longest answer."""
MAX_ADDED = 3
"""Most sections that one sentence adds."""
MAX_INPUTS = 12
"""Most inputs that a model is shown."""
MAX_INPUT_CHARS = 120
"""How much of an input's value a model is shown."""
LEAST_PREVIEW_CHARS = 40
"""A slot of which less would be shown is shown without its value."""
MAX_INSTRUCTION_CHARS = 2_000

_SCALAR = frozenset({"string", "integer", "number", "boolean"})


def brief(prompt: str, page: Page, *, may_remove: bool) -> Brief:
    """What the model is told of any change of a page."""
    references = ", ".join(policy.offered(page)) or "(there are none)"
    return Brief(prompt.replace("{references}", references), schema(page, may_remove=may_remove))


def schema(page: Page, *, may_remove: bool = True) -> Mapping[str, Any]:
    """Of the answer: names of slots are those of the page, inputs those that can be set."""
    slots = {"enum": [slot.slot for slot in page.layout]}
    some = {"type": "array", "items": slots, "maxItems": len(page.layout)}
    added = {
        "type": "object",
        "properties": {"title": _text(MAX_TITLE), "prompt": _text(300), "after": slots},
        "required": ["title", "prompt"],
        "additionalProperties": False,
    }
    inputs = {"type": "object", "properties": _inputs(page), "additionalProperties": False}
    properties = {
        "rewrite": some,
        "remove": some if may_remove else {**some, "maxItems": 0},
        "add": {"type": "array", "items": added, "maxItems": MAX_ADDED},
        "inputs": inputs,
    }
    renamed = {
        "type": "object",
        "properties": {"slot": slots, "title": _text(MAX_TITLE)},
        "required": ["slot", "title"],
        "additionalProperties": False,
    }
    optional = {"rename": {"type": "array", "items": renamed, "maxItems": len(page.layout)}}
    return {
        "type": "object",
        "properties": {**properties, **optional},
        "required": list(properties),
        "additionalProperties": False,
    }


def first(brief_: Brief, request: PatchRequest, *, context_tokens: int) -> tuple[Message, ...]:
    """The question, with as much of each slot as the model can read beside its answer."""
    instruction = request.instruction.strip()[:MAX_INSTRUCTION_CHARS]
    inputs = "".join(f"- {line}\n" for line in _input_lines(request.page))
    titles = [f"- {slot.slot}: {slot.title}" for slot in request.page.layout]
    fixed = len(brief_.instructions) + len(instruction) + len(inputs) + sum(map(len, titles))
    room = (context_tokens - MAX_TOKENS) * questions.CHARS_PER_TOKEN - fixed
    each = min(MAX_PREVIEW_CHARS, room // len(titles))
    if each >= LEAST_PREVIEW_CHARS:
        previews = [" ".join(request.previews.get(slot.slot, "").split())[:each] for slot in request.page.layout]
        titles = [f"{title}: {text}" if text else title for title, text in zip(titles, previews, strict=True)]
    shown = "Slots:\n" + "\n".join(titles) + "\n" + (f"Inputs:\n{inputs}" if inputs else "")
    return Message("system", brief_.instructions), Message("user", f"{shown}\nChange: {instruction}")


def change(answer: Mapping[str, Any]) -> Change:
    """The answer as a change; it has the schema's shape."""
    added = [Addition(one["title"], one["prompt"], one.get("after", "")) for one in answer["add"]]
    renamed = {one["slot"]: one["title"] for one in answer.get("rename", ())}
    return Change(answer["rewrite"], answer["remove"], added, answer["inputs"], renamed)


def _inputs(page: Page) -> Mapping[str, Any]:
    """The schemas of inputs that are one text, number or truth value: what a sentence can name, and a grammar hold."""
    found: dict[str, Any] = {}
    for name, one in policy.settable(page).items():
        if len(found) < MAX_INPUTS and ("enum" in one or one.get("type") in _SCALAR):
            found[name] = {"enum": one["enum"]} if "enum" in one else {"type": one["type"]}
    return found


def _input_lines(page: Page) -> Sequence[str]:
    return [f"{name} = {_shown(page.inputs.get(name))}" for name in _inputs(page)]


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()[:MAX_INPUT_CHARS]


def _text(most: int) -> Mapping[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most}
