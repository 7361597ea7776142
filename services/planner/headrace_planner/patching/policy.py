"""What a change makes of a page's blueprint, and which of its nodes run again. Pure.

A change of a compose node's text stays in its slot: what was made from the earlier text stays as it is. A change of data,
of inputs or of any other kind of node goes on to all that needs it. A new title runs nothing. Whatever else is in the
blueprint is left as it was.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headrace_blueprint import fit, reads, references, validation
from headrace_blueprint.faults import Fault, InvalidBlueprint, pointer
from headrace_blueprint.model import MAX_TEXT, Blueprint, Compose, Compute, Flow, Map, Node
from headrace_blueprint.plan import Plan, compile_plan

from headrace_planner.drafts import fresh
from headrace_planner.errors import PatchTooLong
from headrace_planner.model import RUNNABLE
from headrace_planner.patching.model import Addition, Change, Page, Patched

MAX_INSTRUCTION_CHARS = 2_000
"""How much of a sentence is written into a prompt."""
MAX_OFFERED = 8
"""Most nodes that an added section's prompt may refer to."""
CHANGE = "\n\nThe reader asked for this change: "
"""Before the sentence in a prompt."""
CONVERSATION = frozenset({"message", "history", "workspace", "entities"})
"""Inputs that hold what was said and where: a change does not set them."""

Document = dict[str, Any]
Tools = Mapping[str, Mapping[str, Any]]


def applied(page: Page, change: Change, instruction: str, *, tools: Tools) -> Patched:
    """The changed blueprint. Raises `InvalidBlueprint` when the change cannot be made, and `PatchTooLong`."""
    if faults := list(_faults(page, change)):
        raise InvalidBlueprint(faults)
    plan = compile_plan(page.blueprint)
    document: Document = copy.deepcopy(dict(page.document))
    inputs = {**page.inputs, **change.inputs}
    rewrite = [slot for slot in dict.fromkeys(change.rewrite) if slot not in change.remove]
    asked = [slot.node for slot in page.layout if slot.slot in rewrite]
    writers = {name: writing(page, plan, name) for name in asked}
    amended = set().union(*writers.values())
    _amend(document, amended, instruction)
    for slot in document["layout"]:
        slot["title"] = change.rename.get(slot["slot"], slot["title"])
    added = [_added(document, page, one) for one in change.add]
    _take_away(document, plan, frozenset(change.remove))
    if faults := validation.validate(document, tools=tools, kinds=RUNNABLE):
        raise InvalidBlueprint(faults)
    made = compile_plan(Blueprint.model_validate(document))
    told = {name for name in amended if isinstance(plan.nodes[name], Compose)}
    told |= {name for name in asked if isinstance(plan.nodes[name], Flow)}
    changed = reads.differing(page.inputs, inputs)
    spreading = {name for name, node in made.nodes.items() if reads.depends_on_inputs(node, changed)}
    spreading |= {name for name in asked if not _is_text(plan.nodes[name])}
    again = {*amended, *added, *asked, *_closure(made, spreading)}
    return Patched(
        document,
        inputs,
        tuple(name for name in made.order if name in again),
        tuple(slot["slot"] for slot in document["layout"] if slot["node"] in told),
    )


def writing(page: Page, plan: Plan, name: str) -> frozenset[str]:
    """The nodes whose prompts say what a slot's node holds.

    Itself if it composes, alone or for each item of a map; of a compute node those that it reads and that fill no slot of
    their own; of any other kind none.
    """
    node = plan.nodes[name]
    if _is_text(node):
        return frozenset({name})
    if not isinstance(node, Compute):
        return frozenset()
    filling = {slot.node for slot in page.layout}
    return frozenset().union(*(writing(page, plan, need) for need in plan.needs[name] - filling))


def settable(page: Page) -> Mapping[str, Mapping[str, Any]]:
    """The schemas of the inputs that a change may set: declared, read by a node, and no part of the conversation."""
    declared = page.document.get("inputs", {}).get("properties", {})
    return {
        name: schema
        for name, schema in declared.items()
        if isinstance(schema, Mapping) and name not in CONVERSATION and _is_read(page, name)
    }


def offered(page: Page) -> Sequence[str]:
    """References that an added section's prompt may make: to the request, and to what other sections read."""
    nodes = page.blueprint.nodes
    data = {node.id for node in nodes if not isinstance(node, Compose)}
    read = [name for node in nodes if _is_text(node) for name in sorted(_needs(node) & data)]
    request = ["${inputs.message}"] if "message" in page.document.get("inputs", {}).get("properties", {}) else []
    return [*request, *(f"${{nodes.{name}.output}}" for name in list(dict.fromkeys(read))[:MAX_OFFERED])]


def _faults(page: Page, change: Change) -> Iterable[Fault]:
    slots = {slot.slot for slot in page.layout}
    named = (
        ("rewrite", change.rewrite),
        ("remove", change.remove),
        ("add", [one.after for one in change.add if one.after]),
        ("rename", change.rename),
    )
    for field, names in named:
        for name in names:
            if name not in slots:
                yield Fault(pointer((field,)), f"there is no slot {name[:64]!r}", f"there are: {', '.join(sorted(slots))}")
    titles = {slot.slot: slot.title for slot in page.layout}
    for name, title in change.rename.items():
        if title == titles.get(name):
            yield Fault(pointer(("rename",)), f"the slot {name!r} is called that already", "leave it out")
        elif name in change.remove:
            yield Fault(pointer(("rename",)), f"the slot {name!r} is to go", "rename it or remove it")
    if not (change.rewrite or change.remove or change.add or change.rename or change.inputs):
        yield Fault("", "nothing changes", "name the slots that the change concerns in rewrite")
    if slots <= set(change.remove) and not change.add:
        yield Fault("/remove", "no slot would be left", "leave one")
    yield from _input_faults(page, change)
    allowed = set(offered(page))
    for at, one in enumerate(change.add):
        yield from _prompt_faults(one, allowed, at)


def _input_faults(page: Page, change: Change) -> Iterable[Fault]:
    known = settable(page)
    for name in change.inputs:
        if name not in known:
            yield Fault(pointer(("inputs", name)), "no such input can be set", f"there are: {', '.join(known) or 'none'}")
    if not change.inputs:
        return
    for path, message in fit.faults(page.document.get("inputs", {}), {**page.inputs, **change.inputs}):
        yield Fault(pointer(("inputs", *path)), message)
    others = change.rewrite or change.remove or change.add or change.rename
    if not (others or reads.differing(page.inputs, {**page.inputs, **change.inputs})):
        yield Fault("/inputs", "the inputs have these values already", "name the slots that the change concerns")


def _prompt_faults(addition: Addition, allowed: set[str], at: int) -> Iterable[Fault]:
    try:
        for reference in references.in_text(addition.prompt):
            if str(reference) not in allowed:
                hint = f"there are: {', '.join(sorted(allowed)) or 'none'}"
                yield Fault(pointer(("add", at, "prompt")), f"{reference} may not be used here", hint)
    except references.MalformedReference as error:
        yield Fault(pointer(("add", at, "prompt")), str(error))


def _amend(document: Document, names: Iterable[str], instruction: str) -> None:
    """Write the sentence, as a literal, into the prompts of these nodes: to run the blueprint anew keeps the change."""
    text = CHANGE + references.literal(instruction.strip()[:MAX_INSTRUCTION_CHARS])
    for node in document["nodes"]:
        if node["id"] in names:
            writer = node["node"] if node["kind"] == "map" else node
            writer["prompt"] += text
            if len(writer["prompt"]) > MAX_TEXT:
                raise PatchTooLong(f"the prompt of {node['id']} has no room for another change; edit the blueprint instead")


def _added(document: Document, page: Page, addition: Addition) -> str:
    """Add a section; return its node's id, which is its slot's too."""
    taken = {node["id"] for node in document["nodes"]} | {slot["slot"] for slot in document["layout"]}
    taken |= {node["node"]["id"] for node in document["nodes"] if node["kind"] == "map"}
    name = fresh("added", taken)
    prompt = addition.prompt
    if not any(references.in_text(prompt)):  # what reads nothing of the page would be invented
        prompt += "".join(f"\n\n{reference}" for reference in offered(page))
    model = next((node["model"] for node in document["nodes"] if node["kind"] == "compose" and "model" in node), None)
    node = {"id": name, "kind": "compose", "prompt": prompt}
    document["nodes"].append(node | ({"model": model} if model else {}))
    places = [slot["slot"] for slot in document["layout"]]
    at = places.index(addition.after) + 1 if addition.after else len(places)
    document["layout"].insert(at, {"slot": name, "title": addition.title, "node": name})
    return name


def _take_away(document: Document, plan: Plan, slots: frozenset[str]) -> None:
    """Drop slots, the nodes that nothing else needs any more, and move the output if it was one of them."""
    if not slots:
        return
    candidates = [slot["node"] for slot in document["layout"] if slot["slot"] in slots]
    document["layout"] = [slot for slot in document["layout"] if slot["slot"] not in slots]
    filling = {slot["node"] for slot in document["layout"]}
    if references.needs(document["output"]) & (set(candidates) - filling):
        document["output"] = f"${{nodes.{document['layout'][0]['node']}.output}}"
    kept = {node["id"] for node in document["nodes"]}
    added = [node for node in document["nodes"] if node["id"] not in plan.nodes]
    wanted = filling | references.needs(document["output"]) | references.needs(added)
    while candidates:
        name = candidates.pop()
        if name in kept and name not in wanted and not kept & set(plan.dependents.get(name, ())):
            kept.discard(name)
            candidates += plan.needs[name]
    document["nodes"] = [_without(node, kept) for node in document["nodes"] if node["id"] in kept]


def _without(node: Document, kept: set[str]) -> Document:
    """A node; of a branch, its ways without those that are gone."""
    if node["kind"] != "branch":
        return node
    cases = [{**case, "then": [name for name in case["then"] if name in kept]} for case in node["cases"]]
    ways = {"else": [name for name in node["else"] if name in kept]} if "else" in node else {}
    return {**node, "cases": cases, **ways}


def _closure(plan: Plan, names: Iterable[str]) -> set[str]:
    """These nodes and all that need them, directly or not."""
    found: set[str] = set()
    pending = [name for name in names if name in plan.nodes]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += plan.dependents[name]
    return found


def _is_text(node: Node) -> bool:
    """Whether a model writes it, for itself or for each item of a list."""
    return isinstance(node, Compose) or (isinstance(node, Map) and isinstance(node.node, Compose))


def _is_read(page: Page, name: str) -> bool:
    return any(reads.depends_on_inputs(node, frozenset({name})) for node in page.blueprint.nodes)


def _needs(node: Node) -> frozenset[str]:
    return references.needs(node.model_dump(by_alias=True, exclude_unset=True, exclude={"needs", "when"}))
