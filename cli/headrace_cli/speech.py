"""A run's messages on a terminal. Only one is shown at a time: what others say meanwhile is kept and shown when it has
ended, so that two slots that are composed at once are not mixed. A page's slot begins with its title. Pure.
"""

import dataclasses
from collections.abc import Mapping

from headrace_cli.view import Json, Kind, Piece, View, Waiting

Shown = tuple[View, tuple[Piece, ...]]


def started(event: Mapping[str, Json], view: View, _: float) -> Shown:
    """TEXT_MESSAGE_START."""
    message = str(event.get("messageId", ""))
    if view.speaking:
        return dataclasses.replace(view, waiting={**view.waiting, message: Waiting()}), ()
    return dataclasses.replace(view, speaking=message), _heading(view, message)


def content(event: Mapping[str, Json], view: View, _: float) -> Shown:
    """TEXT_MESSAGE_CONTENT."""
    message, delta = str(event.get("messageId", "")), str(event.get("delta", ""))
    if view.speaking in ("", message):
        return dataclasses.replace(view, speaking=message, said=view.said + len(delta)), (Piece(Kind.TEXT, delta),)
    text = view.waiting.get(message, Waiting()).text + delta
    return dataclasses.replace(view, waiting={**view.waiting, message: Waiting(text)}), ()


def ended(event: Mapping[str, Json], view: View, _: float) -> Shown:
    """TEXT_MESSAGE_END."""
    message = str(event.get("messageId", ""))
    if view.speaking == message:
        view, pieces = _next_speaker(view)
        return view, (Piece(Kind.TEXT, "\n"), *pieces)
    if message not in view.waiting:
        return view, ()
    over = dataclasses.replace(view.waiting[message], ended=True)
    return dataclasses.replace(view, waiting={**view.waiting, message: over}), ()


def restarted(value: Mapping[str, Json], view: View) -> Shown:
    """CUSTOM headrace.restarted: a step begins anew; what its message has said so far stays where it is."""
    note = Piece(Kind.NOTE, f"{value.get('step') or 'a message'} was cut off and starts anew")
    if not view.speaking or value.get("message_id") != view.speaking:
        return view, (note,)
    view, pieces = _next_speaker(view)
    return view, (Piece(Kind.TEXT, "\n"), note, *pieces)


def rest(view: View) -> tuple[Piece, ...]:
    """What messages that were cut off leave to show."""
    pieces: tuple[Piece, ...] = (Piece(Kind.TEXT, "\n"),) if view.speaking else ()
    for message, one in view.waiting.items():
        if one.text:
            pieces += (*_heading(view, message), Piece(Kind.TEXT, one.text + "\n"))
    return pieces


def _next_speaker(view: View) -> Shown:
    """Show the ended messages that waited, and go on with the first that has not ended."""
    pieces: tuple[Piece, ...] = ()
    for message, one in view.waiting.items():
        if one.ended and one.text:
            pieces += (*_heading(view, message), Piece(Kind.TEXT, one.text + "\n"))
    going = {message: one for message, one in view.waiting.items() if not one.ended}
    speaking = next(iter(going), "")
    text = going.pop(speaking).text if speaking else ""
    said = view.said + sum(len(one.text) for one in view.waiting.values() if one.ended) + len(text)
    if speaking:
        pieces += _heading(view, speaking)
    view = dataclasses.replace(view, speaking=speaking, waiting=going, said=said)
    return view, (*pieces, Piece(Kind.TEXT, text)) if text else pieces


def _heading(view: View, message: str) -> tuple[Piece, ...]:
    """In Markdown, the title of the slot that a message fills; on a page, of a message that fills none, its node.

    A message's id is RUN_ID:NODE, or RUN_ID:NODE:N when begun anew.
    """
    if not view.titles:
        return ()
    node = message.removeprefix(f"{view.run_id}:").partition(":")[0]
    return (Piece(Kind.TEXT, f"\n## {view.titles.get(node, node)}\n\n"),)
