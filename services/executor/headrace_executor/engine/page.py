"""The shared state that readers of a run see, and how it changes: {blueprint, page: {slots}}. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from headrace_blueprint.faults import pointer
from headrace_blueprint.model import Blueprint

from headrace_executor import events
from headrace_executor.engine.large import capped, fitted
from headrace_executor.model import Json
from headrace_executor.ports import Event, Gap, PageRef

SNAPSHOT_VALUES = 16
"""How many values of the largest size the slots of one snapshot may have together."""


def snapshot(blueprint: Blueprint, outputs: Mapping[str, Json], *, max_bytes: int) -> Event:
    """STATE_SNAPSHOT with the slots that are filled so far, none of them larger than `max_bytes`."""
    steps = {slot.slot: f"node:{slot.node}" for slot in blueprint.layout or () if slot.node in outputs}
    slots = {
        slot.slot: capped(outputs[slot.node], max_bytes, steps[slot.slot])
        for slot in blueprint.layout or ()
        if slot.slot in steps
    }
    shown = fitted(slots, {(name,): step for name, step in steps.items()}, max_bytes=SNAPSHOT_VALUES * max_bytes)
    return events.state_snapshot({"blueprint": blueprint.to_json(), "page": {"slots": shown}})


def filled(blueprint: Blueprint, node: str, output: Json, *, max_bytes: int) -> Sequence[Event]:
    """STATE_DELTA for the slots that `node` fills; none when it fills none."""
    slots = _slots(blueprint, node)
    value = capped(output, max_bytes, f"node:{node}") if slots else None
    return _delta({"op": "add", "path": _path(slot), "value": value} for slot in slots)


def listed(blueprint: Blueprint, node: str, count: int) -> Sequence[Event]:
    """STATE_DELTA for the slots that a map fills, before its items have ended: so many nulls."""
    return _delta({"op": "add", "path": _path(slot), "value": [None] * count} for slot in _slots(blueprint, node))


def item(blueprint: Blueprint, node: str, index: int, output: Json, *, max_bytes: int) -> Sequence[Event]:
    """STATE_DELTA for one item, from 0, of the slots that a map fills."""
    slots = _slots(blueprint, node)
    value = capped(output, max_bytes, f"node:{node}[{index}]") if slots else None
    return _delta({"op": "replace", "path": _path(slot, index), "value": value} for slot in slots)


def whole(blueprint: Blueprint, outputs: Mapping[str, Json], gaps: Sequence[Gap] = (), ref: PageRef | None = None) -> Json:
    """The finished page: {page_id, version, title, slots: [{slot, title, node, value, gap?}]} in the order of the layout.

    A page that is not kept has no id and version.
    """
    failed = {gap.step: gap.error() for gap in gaps}
    slots = []
    for slot in blueprint.layout or ():
        shown = {"slot": slot.slot, "title": slot.title, "node": slot.node, "value": outputs.get(slot.node)}
        gap = failed.get(f"node:{slot.node}")
        slots.append({**shown, "gap": gap} if gap else shown)
    known = {"page_id": ref.page_id, "version": ref.version} if ref is not None else {}
    return {**known, "title": blueprint.name, "slots": slots}


def _slots(blueprint: Blueprint, node: str) -> Sequence[str]:
    return [slot.slot for slot in blueprint.layout or () if slot.node == node]


def _delta(changes: Iterable[Json]) -> Sequence[Event]:
    patch = list(changes)
    return (events.state_delta(patch),) if patch else ()


def _path(*steps: str | int) -> str:
    return pointer(("page", "slots", *steps))
