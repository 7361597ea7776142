"""The shared state that readers of a run see, and how it changes: {blueprint, page: {slots}}. Pure."""

from collections.abc import Callable, Mapping, Sequence

from headrace_blueprint.faults import pointer
from headrace_blueprint.model import Blueprint

from headrace_executor import events
from headrace_executor.engine.large import capped, fitted
from headrace_executor.model import Json
from headrace_executor.ports import Event, Gap, PageRef

__all__ = ["capped", "filled", "item", "listed", "snapshot", "whole"]

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
    value = capped(output, max_bytes, f"node:{node}")
    return _delta(blueprint, node, lambda slot: {"op": "add", "path": _path(slot), "value": value})


def listed(blueprint: Blueprint, node: str, count: int) -> Sequence[Event]:
    """STATE_DELTA for the slots that a map fills, before its items have ended: so many nulls."""
    return _delta(blueprint, node, lambda slot: {"op": "add", "path": _path(slot), "value": [None] * count})


def item(blueprint: Blueprint, node: str, index: int, output: Json, *, max_bytes: int) -> Sequence[Event]:
    """STATE_DELTA for one item, from 0, of the slots that a map fills."""
    value = capped(output, max_bytes, f"node:{node}[{index}]")
    return _delta(blueprint, node, lambda slot: {"op": "replace", "path": _path(slot, index), "value": value})


def whole(blueprint: Blueprint, outputs: Mapping[str, Json], gaps: Sequence[Gap] = (), ref: PageRef | None = None) -> Json:
    """The finished page: {page_id, version, title, slots: [{slot, title, node, value, gap?}]} in the order of the layout.

    A page that is not kept has no id and version.
    """
    failed = {gap.step: {"code": gap.code, "message": gap.message} for gap in gaps}
    slots = []
    for slot in blueprint.layout or ():
        shown = {"slot": slot.slot, "title": slot.title, "node": slot.node, "value": outputs.get(slot.node)}
        gap = failed.get(f"node:{slot.node}")
        slots.append({**shown, "gap": gap} if gap else shown)
    known = {"page_id": ref.page_id, "version": ref.version} if ref is not None else {}
    return {**known, "title": blueprint.name, "slots": slots}


def _delta(blueprint: Blueprint, node: str, change: Callable[[str], Json]) -> Sequence[Event]:
    patch = [change(slot.slot) for slot in blueprint.layout or () if slot.node == node]
    return (events.state_delta(patch),) if patch else ()


def _path(*steps: str | int) -> str:
    return pointer(("page", "slots", *steps))
