"""Pages for tests: one with a bit of everything, and random ones with changes."""

import copy
from collections.abc import Mapping
from typing import Any

from headrace_blueprint.model import Blueprint
from headrace_planner import toolbox
from headrace_planner.patching.model import Addition, Change, Page
from hypothesis import strategies as st

TOOLS = toolbox.schemas(toolbox.BUILTIN)
INPUTS = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "class_id": {"type": "integer", "minimum": 1},
        "term": {"enum": ["a", "b"]},
    },
}


def compose(name: str, prompt: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "kind": "compose", "prompt": prompt, **fields}


def each(name: str, over: str) -> dict[str, Any]:
    inner = {"id": f"{name}_one", "kind": "compose", "prompt": "One: ${item}"}
    return {"id": name, "kind": "map", "over": f"${{nodes.{over}.output}}", "node": inner}


def page(nodes: list[dict[str, Any]], slots: Mapping[str, str], *, output: str = "", **inputs: Any) -> Page:
    """A page of these nodes; `slots` has a node for each slot, whose title is its name with capitals."""
    first = next(iter(slots.values()))
    document = {
        "version": 1,
        "name": "page",
        "inputs": INPUTS,
        "nodes": nodes,
        "layout": [{"slot": slot, "title": slot.replace("_", " ").title(), "node": node} for slot, node in slots.items()],
        "output": f"${{nodes.{output or first}.output}}",
    }
    return Page(document, Blueprint.model_validate(document), {"message": "M", "class_id": 1, "term": "a"} | inputs)


REPORT = page(
    [
        {"id": "grades", "kind": "data", "tool": "calculator", "args": {"expression": "${inputs.class_id} + 1"}},
        {"id": "weak", "kind": "compute", "expr": "nodes.grades.output.weak"},
        compose("summary", "Summarise ${nodes.grades.output}", model="big"),
        compose("advice", "Advise on ${nodes.summary.output} ${nodes.weak.output}"),
        each("comments", "weak"),
        compose("draft", "Draft ${inputs.message}", schema={"type": "object"}),
        {"id": "quiz", "kind": "compute", "expr": "nodes.draft.output.questions"},
        compose("outlook", "Look out for ${inputs.term}"),
    ],
    {name: name for name in ("summary", "advice", "comments", "grades", "quiz", "outlook")},
)
"""Data, compute, compose, a map of composes, and a compute that shows what a hidden compose wrote."""


@st.composite
def pages(draw: st.DrawFn, max_nodes: int = 10) -> Page:
    """A valid page: each node uses only earlier ones, in whatever way its kind can."""
    nodes: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, max_nodes))):
        earlier = [node["id"] for node in nodes if node["kind"] != "branch"]
        used = draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        nodes.append(_node(draw, f"n{index}", used))
    guarded = draw(st.lists(st.sampled_from([node["id"] for node in nodes]), max_size=2, unique=True))
    if guarded:
        nodes.append({"id": "way", "kind": "branch", "cases": [{"when": "inputs.class_id > 1", "then": guarded}]})
    ids = [node["id"] for node in nodes]
    filling = draw(st.lists(st.sampled_from(ids), min_size=1, max_size=6))
    slots = {f"slot_{at}": name for at, name in enumerate(filling)}
    return page(draw(st.permutations(nodes)), slots, output=draw(st.sampled_from(ids)))


@st.composite
def changes(draw: st.DrawFn, of: Page) -> Change:
    """A change that names only what the page has, or nearly."""
    slots = [slot.slot for slot in of.layout]
    some = st.lists(st.sampled_from([*slots, "nowhere"] if draw(st.integers(0, 9)) == 0 else slots), max_size=3)
    texts = st.text(max_size=30) | st.sampled_from(["Write ${inputs.message}", "Use ${nodes.n0.output}", "${", "$${x}"])
    added = st.builds(Addition, st.text(min_size=1, max_size=20), texts.filter(bool), st.sampled_from(["", *slots]))
    inputs = st.fixed_dictionaries({}, optional={"class_id": st.integers(-1, 3), "term": st.sampled_from(["a", "b", "c"])})
    renamed = st.dictionaries(st.sampled_from(slots), st.sampled_from(["Slot 0", "Else", "${x}"]), max_size=2)
    return Change(draw(some), draw(some), draw(st.lists(added, max_size=2)), draw(inputs), draw(renamed))


def _node(draw: st.DrawFn, name: str, used: list[str]) -> dict[str, Any]:
    asked = draw(st.sampled_from(["hello", "${inputs.message}", "${inputs.class_id}", "${inputs.term}"]))
    text = " ".join([asked, *(f"${{nodes.{one}.output}}" for one in used)])
    sums = " + ".join(["1", *(f"size(nodes.{one}.output)" for one in used)])
    kinds: list[dict[str, Any]] = [
        compose(name, text),
        {"id": name, "kind": "retrieve", "query": text},
        {"id": name, "kind": "compute", "expr": sums},
        {"id": name, "kind": "compute", "expr": f"{sums} + inputs.class_id"},
        {"id": name, "kind": "compute", "expr": "size(inputs)"},
        {"id": name, "kind": "data", "tool": "calculator", "args": {"expression": text}},
        {"id": name, "kind": "flow", "workflow_id": "w", "inputs": {"a": text}},
        compose(name, "hello", needs=used, when=f"{sums} > inputs.class_id"),
    ]
    if used:
        kinds += [
            each(name, used[0]),
            {**each(name, used[0]), "node": {"id": f"{name}_one", "kind": "compute", "expr": "item"}},
        ]
    return copy.deepcopy(draw(st.sampled_from(kinds)))
