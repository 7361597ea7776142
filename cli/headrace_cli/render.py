"""What a run looks like on a terminal. Pure: an event and what was shown so far give what to show next.

Stages are lines; a message's tokens follow each other. Only one message is shown at a time: what others say meanwhile is
kept and shown when it has ended, so that two slots that are composed at once are not mixed.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Any

MAX_TOOL_CHARS = 160
"""Of a tool's arguments or result on its line."""


class Kind(StrEnum):
    """What a piece is, for who styles it."""

    STAGE = "stage"
    DONE = "done"
    CUT = "cut"
    """A step that was closed and is not done."""
    NOTE = "note"
    ERROR = "error"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to show. A TEXT continues its line; any other kind is a line of its own."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is not shown yet."""

    text: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What has been shown of a run."""

    run_id: str = ""
    session_id: str = ""
    started: Mapping[str, float] = field(default_factory=dict)
    """Open steps and when they were opened, seconds of the caller's clock."""
    speaking: str = ""
    """The message whose tokens are being shown."""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """Messages that wait for it, in order."""
    intent: str = ""
    """What the router found."""
    origin: str = ""
    """Where the plan came from."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Open tool calls and their names."""
    result: Json = None
    outcome: str = ""
    """Set at the end: success, cancelled, interrupt, or error."""
    said: int = 0
    """Characters of text shown."""


def show(event: Mapping[str, Json], view: View, *, now_s: float) -> tuple[View, tuple[Piece, ...]]:
    """Return the view after an event and the pieces to show. Unknown events show nothing."""
    handler = _HANDLERS.get(str(event.get("type", "")))
    return handler(event, view, now_s) if handler is not None else (view, ())


def _run_started(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    return dataclasses.replace(view, run_id=str(event.get("runId", "")), session_id=str(event.get("threadId", ""))), ()


def _step_started(event: Mapping[str, Json], view: View, now_s: float) -> tuple[View, tuple[Piece, ...]]:
    name = str(event.get("stepName", ""))
    return dataclasses.replace(view, started={**view.started, name: now_s}), (Piece(Kind.STAGE, name),)


def _step_finished(event: Mapping[str, Json], view: View, now_s: float) -> tuple[View, tuple[Piece, ...]]:
    name = str(event.get("stepName", ""))
    rest = {open_name: at for open_name, at in view.started.items() if open_name != name}
    took = f"{now_s - view.started[name]:.2f} s" if name in view.started else ""
    found = {"route": view.intent, "plan": view.origin}.get(name, "")
    facts = [part for part in (took, found) if part]
    metadata = event.get("metadata")
    cut = isinstance(metadata, dict) and metadata.get("done") is False
    piece = Piece(Kind.CUT if cut else Kind.DONE, "  ".join([name, *facts]))
    return dataclasses.replace(view, started=rest), (piece,)


def _text_start(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    message = str(event.get("messageId", ""))
    if view.speaking:
        return dataclasses.replace(view, waiting={**view.waiting, message: Waiting()}), ()
    return dataclasses.replace(view, speaking=message), ()


def _text_content(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    message, delta = str(event.get("messageId", "")), str(event.get("delta", ""))
    if view.speaking in ("", message):
        return dataclasses.replace(view, speaking=message, said=view.said + len(delta)), (Piece(Kind.TEXT, delta),)
    text = view.waiting.get(message, Waiting()).text + delta
    return dataclasses.replace(view, waiting={**view.waiting, message: Waiting(text)}), ()


def _text_end(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    message = str(event.get("messageId", ""))
    if view.speaking == message:
        view, pieces = _next_speaker(view)
        return view, (Piece(Kind.TEXT, "\n"), *pieces)
    if message not in view.waiting:
        return view, ()
    ended = dataclasses.replace(view.waiting[message], ended=True)
    return dataclasses.replace(view, waiting={**view.waiting, message: ended}), ()


def _next_speaker(view: View) -> tuple[View, tuple[Piece, ...]]:
    """Show the ended messages that waited, and go on with the first that has not ended."""
    ended = [one.text for one in view.waiting.values() if one.ended]
    pieces = tuple(Piece(Kind.TEXT, text + "\n") for text in ended if text)
    going = {message: one for message, one in view.waiting.items() if not one.ended}
    speaking = next(iter(going), "")
    text = going.pop(speaking).text if speaking else ""
    said = view.said + sum(map(len, ended)) + len(text)
    view = dataclasses.replace(view, speaking=speaking, waiting=going, said=said)
    return view, (*pieces, Piece(Kind.TEXT, text)) if text else pieces


def _tool_start(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    call, name = str(event.get("toolCallId", "")), str(event.get("toolCallName", ""))
    return dataclasses.replace(view, tools={**view.tools, call: name}), ()


def _tool_args(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    name = view.tools.get(str(event.get("toolCallId", "")), "tool")
    return view, (Piece(Kind.NOTE, f"{name} {_short(str(event.get('delta', '')))}"),)


def _tool_result(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    call = str(event.get("toolCallId", ""))
    name = view.tools.get(call, "tool")
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
    if name == "headrace.restarted":
        return _restarted(value, view)
    if name == "headrace.usage":
        return view, (Piece(Kind.NOTE, _usage(value)),) if value.get("llm_calls") or value.get("cached_calls") else ()
    return view, ()


def _restarted(value: Mapping[str, Json], view: View) -> tuple[View, tuple[Piece, ...]]:
    """A step begins anew; what its message has said so far stays where it is."""
    note = Piece(Kind.NOTE, f"{value.get('step') or 'a message'} was cut off and starts anew")
    if not view.speaking or value.get("message_id") != view.speaking:
        return view, (note,)
    view, pieces = _next_speaker(view)
    return view, (Piece(Kind.TEXT, "\n"), note, *pieces)


def _run_finished(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    outcome = event.get("outcome")
    kind = str(outcome.get("type", "success")) if isinstance(outcome, dict) else str(outcome or "success")
    pieces = _rest(view)
    if kind != "success":
        pieces = (*pieces, Piece(Kind.NOTE, "cancelled" if kind == "cancelled" else "it asks back"))
    return dataclasses.replace(view, speaking="", waiting={}, outcome=kind, result=event.get("result")), pieces


def _run_error(event: Mapping[str, Json], view: View, _: float) -> tuple[View, tuple[Piece, ...]]:
    code, message = str(event.get("code", "")), " ".join(str(event.get("message", "")).split())
    error = Piece(Kind.ERROR, f"{code}: {message}" if code else message)
    return dataclasses.replace(view, speaking="", waiting={}, outcome="error"), (*_rest(view), error)


def _rest(view: View) -> tuple[Piece, ...]:
    """What a message that was cut off leaves to show."""
    open_line = (Piece(Kind.TEXT, "\n"),) if view.speaking else ()
    return (*open_line, *(Piece(Kind.TEXT, one.text + "\n") for one in view.waiting.values() if one.text))


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
    "TEXT_MESSAGE_START": _text_start,
    "TEXT_MESSAGE_CONTENT": _text_content,
    "TEXT_MESSAGE_END": _text_end,
    "TOOL_CALL_START": _tool_start,
    "TOOL_CALL_ARGS": _tool_args,
    "TOOL_CALL_RESULT": _tool_result,
    "CUSTOM": _custom,
    "RUN_FINISHED": _run_finished,
    "RUN_ERROR": _run_error,
}
