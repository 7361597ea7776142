"""Three-way merge of two changes that were made of the same version of a page. Pure.

A page is taken as its parts: nodes with what they gave, slots, inputs, and what else the blueprint says. A part that one
side changed is that side's, byte for byte; what both changed differently they cannot both have. Nor can a node stay that
one side made of data which the other replaced: old numbers would stand beside new ones. What was made from an earlier text
stays as it is, as in any change.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from headrace_blueprint import reads
from headrace_blueprint.model import Compose, Map
from headrace_blueprint.plan import Plan

from headrace_executor.model import Json
from headrace_executor.ports import Gap, PageDraft

Part = tuple[str, str]
"""What kind of part, and which one: ("node", "summary")."""

MAX_SUBJECTS = 5
"""Most conflicting parts that an error names."""


class Conflict(Exception):
    """Both changes concern the same; the text names what."""


def merged(base: PageDraft, ours: PageDraft, theirs: PageDraft, compiled: Callable[[Json], Plan]) -> PageDraft:
    """Merge our change of `base` with theirs. Raises `Conflict`, and whatever `compiled` raises for an invalid blueprint.

    All but the parts is ours: usage, instruction, parent. Sections that both added are both kept, ours under another id.
    """
    ours = _apart(base, ours, theirs)
    merge = _Merge(_parts(base), _parts(ours), _parts(theirs))
    layout = _layout(merge, base, ours, theirs)
    if merge.conflicts:
        raise Conflict(_subjects(merge.conflicts, base, ours, theirs))
    blueprint: dict[str, Json] = {name: value for (_, name), value in merge.of("blueprint")}
    nodes = {name: value for (_, name), value in merge.of("node")}
    blueprint |= {"nodes": [one["node"] for one in nodes.values()], "layout": layout}
    plan = compiled({name: blueprint[name] for name in {**theirs.blueprint, **ours.blueprint} if name in blueprint})
    if stale := _stale(merge, plan):
        raise Conflict(_subjects(stale, base, ours, theirs))
    return replace(
        ours,
        blueprint=plan.blueprint.to_json(),
        inputs={name: value for (_, name), value in merge.of("input")},
        outputs={name: nodes[name]["output"] for name in plan.order if "output" in nodes[name]},
        gaps=[Gap(**gap) for name in plan.order for gap in nodes[name]["gaps"]],
        sources=_together(base.sources, ours.sources, theirs.sources),
    )


@dataclass(slots=True)
class _Side:
    """One page's parts, and the JSON that they are compared by."""

    values: dict[Part, Json]
    written: dict[Part, bytes]


class _Merge:
    """Every part of both sides: which one it is taken from."""

    def __init__(self, base: _Side, ours: _Side, theirs: _Side) -> None:
        self.base = base
        parts = dict.fromkeys([*theirs.values, *ours.values])
        known = dict.fromkeys([*parts, *base.values])
        self.by_us = {part for part in known if ours.written.get(part) != base.written.get(part)}
        self.by_them = {part for part in known if theirs.written.get(part) != base.written.get(part)}
        both = self.by_us & self.by_them
        self.conflicts = [part for part in known if part in both and ours.written.get(part) != theirs.written.get(part)]
        sides = {part: ours if part in self.by_us else theirs for part in known}
        self.taken = {part: side.values[part] for part, side in sides.items() if part in side.values}

    def of(self, kind: str) -> list[tuple[Part, Json]]:
        """The parts of a kind."""
        return [(part, value) for part, value in self.taken.items() if part[0] == kind]


def _parts(page: PageDraft) -> _Side:
    gaps: dict[str, list[Json]] = defaultdict(list)
    for gap in page.gaps:
        gaps[gap.node].append(gap.to_json())
    values: dict[Part, Json] = {
        ("blueprint", name): value for name, value in page.blueprint.items() if name not in ("nodes", "layout")
    }
    values |= {("input", name): value for name, value in page.inputs.items()}
    values |= {("slot", slot["slot"]): slot for slot in page.blueprint["layout"]}
    for node in page.blueprint["nodes"]:
        name = node["id"]
        output = {"output": page.outputs[name]} if name in page.outputs else {}
        values["node", name] = {"node": node, **output, "gaps": gaps[name]}
    return _Side(values, {part: orjson.dumps(value) for part, value in values.items()})


def _layout(merge: _Merge, base: PageDraft, ours: PageDraft, theirs: PageDraft) -> Sequence[Json]:
    """The merged slots in order: one that we added goes before the one that follows it in ours. Adds conflicts."""
    slots = {name: value for (_, name), value in merge.of("slot")}
    places = [slot["slot"] for slot in theirs.blueprint["layout"] if slot["slot"] in slots]
    mine, before = ([slot["slot"] for slot in page.blueprint["layout"]] for page in (ours, base))
    if [name for name in mine if name in before] != [name for name in before if name in mine]:
        merge.conflicts.append(("order", ""))
    following = ""
    for name in reversed(mine):
        if name in slots and name not in places:
            places.insert(places.index(following) if following else len(places), name)
        if name in places:
            following = name
    for part, slot in merge.base.values.items():  # a slot that one side took away, and the other filled anew
        if part[0] == "slot" and part[1] not in slots:
            changed_by = merge.by_them if part in merge.by_us else merge.by_us
            if ("node", slot["node"]) in changed_by - (merge.by_us & merge.by_them):
                merge.conflicts.append(part)
    if not places:
        merge.conflicts.append(("last", ""))
    return [slots[name] for name in places]


def _stale(merge: _Merge, plan: Plan) -> Sequence[Part]:
    """Nodes that one side computed from data or inputs which the other side changed."""
    found: list[Part] = []
    for made, elsewhere in ((merge.by_us, merge.by_them), (merge.by_them, merge.by_us)):
        inputs = frozenset(name for kind, name in elsewhere - made if kind == "input")
        reached: set[str] = set()
        for name in plan.order:
            part = ("node", name)
            touched = reads.depends_on_inputs(plan.nodes[name], inputs) or bool(reached & plan.needs[name])
            if touched and part in made - elsewhere:
                found.append(part)
            if part in elsewhere - made and (touched or _spreads(merge, plan, part)):
                reached.add(name)
    return found


def _spreads(merge: _Merge, plan: Plan, part: Part) -> bool:
    """Whether a changed node makes its dependents stale. A text does not, nor does a node that had no output before."""
    node, before = plan.nodes[part[1]], merge.base.values.get(part)
    is_text = isinstance(node, Compose) or (isinstance(node, Map) and isinstance(node.node, Compose))
    return not is_text and before is not None and "output" in before


def _apart(base: PageDraft, ours: PageDraft, theirs: PageDraft) -> PageDraft:
    """Our page, with new ids for added nodes and slots whose ids they gave to something else."""
    known, mine, other = (_parts(page) for page in (base, ours, theirs))
    added = [part for part in mine.values if part[0] in ("node", "slot") and part not in known.values]
    clashing = [part[1] for part in added if other.written.get(part, mine.written[part]) != mine.written[part]]
    taken = {name for side in (known, mine, other) for _, name in side.values}
    for name in dict.fromkeys(clashing):
        number = next(number for number in range(2, len(taken) + 3) if f"{name}_{number}" not in taken)
        taken.add(f"{name}_{number}")
        ours = _renamed(ours, name, f"{name}_{number}")
    return ours


def _renamed(page: PageDraft, old: str, new: str) -> PageDraft:
    """Rename a node and its slot. Only the blueprint's output follows; another reference makes the blueprint invalid."""

    def name(value: str) -> str:
        return new if value == old else value

    blueprint: dict[str, Any] = {
        **page.blueprint,
        "nodes": [{**node, "id": name(node["id"])} for node in page.blueprint["nodes"]],
        "layout": [{**slot, "slot": name(slot["slot"]), "node": name(slot["node"])} for slot in page.blueprint["layout"]],
    }
    if blueprint["output"] == f"${{nodes.{old}.output}}":
        blueprint["output"] = f"${{nodes.{new}.output}}"
    gaps = [
        replace(gap, step=gap.step.replace(f"node:{old}", f"node:{new}", 1)) if gap.node == old else gap
        for gap in page.gaps
    ]
    outputs = {name(node): output for node, output in page.outputs.items()}
    return replace(page, blueprint=blueprint, outputs=outputs, gaps=gaps)


def _together(base: Sequence[Json], ours: Sequence[Json], theirs: Sequence[Json]) -> Sequence[Json]:
    """The passages of both sides, without those that either removed."""
    before, mine, other = ({orjson.dumps(one) for one in page} for page in (base, ours, theirs))
    kept = [one for one in theirs if (written := orjson.dumps(one)) in mine or written not in before]
    return [*kept, *(one for one in ours if (written := orjson.dumps(one)) not in before and written not in other)]


def _subjects(parts: Sequence[Part], *pages: PageDraft) -> str:
    titles: Mapping[Part, str] = {
        part: slot["title"]
        for page in pages
        for slot in page.blueprint["layout"]
        for part in (("slot", slot["slot"]), ("node", slot["node"]))
    }
    named = [f"the slot {titles[part]!r}" if part in titles else _plainly(part) for part in parts]
    shown = list(dict.fromkeys(named))
    return ", ".join(shown[:MAX_SUBJECTS]) + (", …" if len(shown) > MAX_SUBJECTS else "")


def _plainly(part: Part) -> str:
    kind, name = part
    match kind:
        case "order":
            return "the order of the slots"
        case "last":
            return "the slots that were left"
        case "blueprint":
            return f"the blueprint's {name}"
        case "node":
            return f"the step node:{name}"
        case _:
            return f"the {kind} {name}"
