"""What a run looks like on a terminal. Pure: an event and what was shown so far give what to show next.

Stages are lines; a message's tokens follow each other (`speech`).
"""

import dataclasses
import json
import re
from collections.abc import Mapping

from headrace_cli import clarify, speech
from headrace_cli.view import Json, Kind, Piece, View

MAX_TOOL_CHARS = 160
"""Of a tool's arguments or result on its line."""
ORIGINS = {"reused": "reused: planned before for the same request"}
"""Where a plan came from, when the word alone does not say it."""
_ITEM = re.compile(r"(?P<map>.+)\[\d+\]")
"""The step of one item of a map."""


def show(event: Mapping[str, Json], view: View, *, now_s: float) -> tuple[View, tuple[Piece, ...]]:
    """Return the view after an event and the pieces to show. Unknown events show nothing."""
    handler = _HANDLERS.get(str(event.get("type", "")))
    return handler(event, view, now_s) if handler is not None else (view, ())


def _run_started(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    return dataclasses.replace(view, run_id=str(event.get("runId", "")), session_id=str(event.get("threadId", ""))), ()


def _step_started(event: Mapping[str, Json], view: View, now_s: float) -> tuple[View, tuple[Piece, ...]]:
    """A line, but for the items of a map, of which only the end is told."""
    name = str(event.get("stepName", ""))
    view = dataclasses.replace(view, started={**view.started, name: now_s})
    return view, () if "[" in name else (Piece(Kind.STAGE, name),)


def _step_finished(event: Mapping[str, Json], view: View, now_s: float) -> tuple[View, tuple[Piece, ...]]:
    name = str(event.get("stepName", ""))
    rest = {open_name: at for open_name, at in view.started.items() if open_name != name}
    took = f"{now_s - view.started[name]:.2f} s" if name in view.started else ""
    found = {"route": view.intent, "plan": ORIGINS.get(view.origin, view.origin)}.get(name, "")
    skipped = "skipped" if name in view.skipped else ""
    facts = [part for part in (skipped or took, found, _items(view, name)) if part]
    metadata = event.get("metadata")
    cut = name in view.gaps or (isinstance(metadata, dict) and metadata.get("done") is False)
    piece = Piece(Kind.CUT if cut else Kind.DONE, "  ".join([name, *facts]))
    return dataclasses.replace(view, started=rest, items=_counted(view, name, cut=cut)), (piece,)


def _counted(view: View, step: str, *, cut: bool) -> Mapping[str, tuple[frozenset[str], frozenset[str]]]:
    match = _ITEM.fullmatch(step)
    if match is None:
        return view.items
    done, failed = view.items.get(match["map"], (frozenset(), frozenset()))
    return {**view.items, match["map"]: (done - {step}, failed | {step}) if cut else (done | {step}, failed - {step})}


def _items(view: View, step: str) -> str:
    """What became of a map's items."""
    if step not in view.items:
        return ""
    done, failed = map(len, view.items[step])
    return f"{done} of {done + failed} items" if failed else f"{done} item{'' if done == 1 else 's'}"


def _snapshot(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    snapshot = event.get("snapshot")
    blueprint = snapshot.get("blueprint") if isinstance(snapshot, dict) else None
    layout = blueprint.get("layout") if isinstance(blueprint, dict) else None
    slots = [slot for slot in layout if isinstance(slot, dict)] if isinstance(layout, list) else []
    return dataclasses.replace(view, titles={str(slot.get("node")): str(slot.get("title")) for slot in slots}), ()


def _tool_start(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    """Nothing yet. The calls of a map's items are not shown at all: there are as many as items."""
    call, name = str(event.get("toolCallId", "")), str(event.get("toolCallName", ""))
    if "[" in call:
        return view, ()
    return dataclasses.replace(view, tools={**view.tools, call: name}), ()


def _tool_args(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    name = view.tools.get(str(event.get("toolCallId", "")))
    if name is None:
        return view, ()
    return view, (Piece(Kind.NOTE, f"{name} {_short(str(event.get('delta', '')))}"),)


def _tool_result(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    call = str(event.get("toolCallId", ""))
    if call not in view.tools:
        return view, ()
    name = view.tools[call]
    rest = {open_call: open_name for open_call, open_name in view.tools.items() if open_call != call}
    piece = Piece(Kind.NOTE, f"{name} → {_short(str(event.get('content', '')))}")
    return dataclasses.replace(view, tools=rest), (piece,)


def _custom(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    name, value = event.get("name"), event.get("value")
    value = value if isinstance(value, dict) else {}
    if name == "headrace.queued":
        wait = value.get("expected_wait_s")
        about = f", about {wait:.0f} s" if isinstance(wait, int | float) else ""
        why = f" ({value['limited_by']})" if value.get("limited_by") else ""
        return view, (Piece(Kind.NOTE, f"queued at {value.get('position', '?')}{about}{why}"),)
    if name == "headrace.intent":
        return dataclasses.replace(view, intent=f"{value.get('kind', '')} (by {value.get('decided_by', '?')})"), ()
    if name == "headrace.plan":
        warnings = value.get("warnings")
        notes = tuple(Piece(Kind.NOTE, str(text)) for text in warnings) if isinstance(warnings, list) else ()
        return dataclasses.replace(view, origin=str(value.get("origin") or "")), notes
    if name == "headrace.gap":
        return _gap(value, view)
    if name == "headrace.skipped":
        return dataclasses.replace(view, skipped=view.skipped | {str(value.get("step"))}), ()
    if name == "headrace.restarted":
        return speech.restarted(value, view)
    if name == "headrace.usage":
        return view, (Piece(Kind.NOTE, _usage(value)),) if value.get("llm_calls") or value.get("cached_calls") else ()
    return view, ()


def _gap(value: Mapping[str, Json], view: View) -> tuple[View, tuple[Piece, ...]]:
    step = str(value.get("step") or "")
    why = ": ".join(str(value[key]) for key in ("code", "message") if value.get(key))
    return dataclasses.replace(view, gaps=view.gaps | {step}), (Piece(Kind.GAP, f"{step or 'a node'} left a gap: {why}"),)


def _run_finished(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    outcome = event.get("outcome")
    kind = str(outcome.get("type", "success")) if isinstance(outcome, dict) else str(outcome or "success")
    pieces = speech.rest(view)
    asked = outcome.get("interrupts") if isinstance(outcome, dict) else None
    interrupts = [one for one in asked if isinstance(one, dict)] if isinstance(asked, list) else []
    if kind == "cancelled":
        pieces = (*pieces, Piece(Kind.NOTE, "cancelled"))
    elif kind != "success":
        lines = [line for one in interrupts for line in clarify.lines(clarify.question(one))]
        pieces = (*pieces, *(Piece(Kind.ASK, line) for line in lines or ["it asks back"]))
    view = dataclasses.replace(view, speaking="", waiting={}, outcome=kind, interrupts=interrupts)
    return dataclasses.replace(view, result=event.get("result")), pieces


def _run_error(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    code, message = str(event.get("code", "")), " ".join(str(event.get("message", "")).split())
    error = Piece(Kind.ERROR, f"{code}: {message}" if code else message)
    return dataclasses.replace(view, speaking="", waiting={}, outcome="error"), (*speech.rest(view), error)


def _usage(value: Mapping[str, Json]) -> str:
    calls, cached = value.get("llm_calls", 0), value.get("cached_calls", 0)
    parts = [f"{calls} model call{'' if calls == 1 else 's'}" + (f", {cached} cached" if cached else "")]
    parts.append(f"{value.get('prompt_tokens', 0)} + {value.get('completion_tokens', 0)} tokens")
    if value.get("cost_usd"):
        parts.append(f"${value['cost_usd']:.4f}")
    return ", ".join(parts)


def result_text(result: Json) -> str:
    """A run's result as text: its reply, or its output as a string or JSON."""
    if isinstance(result, dict):
        result = next((result[name] for name in ("reply", "output") if result.get(name) is not None), result)
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, indent=2)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MAX_TOOL_CHARS else flat[: MAX_TOOL_CHARS - 1] + "…"


_HANDLERS = {
    "RUN_STARTED": _run_started,
    "STEP_STARTED": _step_started,
    "STEP_FINISHED": _step_finished,
    "TEXT_MESSAGE_START": speech.started,
    "TEXT_MESSAGE_CONTENT": speech.content,
    "TEXT_MESSAGE_END": speech.ended,
    "TOOL_CALL_START": _tool_start,
    "TOOL_CALL_ARGS": _tool_args,
    "TOOL_CALL_RESULT": _tool_result,
    "STATE_SNAPSHOT": _snapshot,
    "CUSTOM": _custom,
    "RUN_FINISHED": _run_finished,
    "RUN_ERROR": _run_error,
}
