"""The shared state that readers of a run see, and how it changes: {blueprint, page: {slots}}. Pure."""

from collections.abc import Mapping, Sequence

import orjson
from headrace_blueprint.faults import pointer
from headrace_blueprint.model import Blueprint

from headrace_executor import events
from headrace_executor.model import Json
from headrace_executor.ports import Event

PREVIEW_CHARACTERS = 2_000
"""How much of a value that is too large for an event its readers see."""


def snapshot(blueprint: Blueprint, outputs: Mapping[str, Json], *, max_bytes: int) -> Event:
    """STATE_SNAPSHOT with the slots that are filled so far."""
    filled = {slot.slot: capped(outputs[slot.node], max_bytes) for slot in blueprint.layout or () if slot.node in outputs}
    return events.state_snapshot({"blueprint": blueprint.to_json(), "page": {"slots": filled}})


def filled(blueprint: Blueprint, node: str, output: Json, *, max_bytes: int) -> Sequence[Event]:
    """STATE_DELTA for the slots that `node` fills; none when it fills none."""
    patch = [
        {"op": "add", "path": pointer(("page", "slots", slot.slot)), "value": capped(output, max_bytes)}
        for slot in blueprint.layout or ()
        if slot.node == node
    ]
    return (events.state_delta(patch),) if patch else ()


def whole(blueprint: Blueprint, outputs: Mapping[str, Json]) -> Json:
    """The finished page: {slots: [{slot, title, node, value}]} in the order of the layout."""
    return {
        "slots": [
            {"slot": slot.slot, "title": slot.title, "node": slot.node, "value": outputs.get(slot.node)}
            for slot in blueprint.layout or ()
        ]
    }


def capped(value: Json, max_bytes: int) -> Json:
    """`value`, or {truncated, bytes, preview} when its JSON is larger than `max_bytes`."""
    encoded = orjson.dumps(value)
    if len(encoded) <= max_bytes:
        return value
    text = value if isinstance(value, str) else encoded.decode()
    return {"truncated": True, "bytes": len(encoded), "preview": text[:PREVIEW_CHARACTERS]}
