"""What a slot's value is to a reader: a text, a table, a quiz, a list, a gap, a shortened value, or JSON. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from headrace_edge.json_body import depth_exceeds

MAX_COLUMNS = 20
"""Widest table; objects with more names are shown as JSON."""
MAX_DEPTH = 16
"""Deepest JSON that is indented: each level makes it longer."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A value that failed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Cut:
    """The beginning of a value that is too large, and the step whose output has it whole."""

    preview: str
    size: int
    step: str


@dataclass(frozen=True, slots=True)
class Text:
    """Markdown."""

    markdown: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, a truth value or nothing."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list of texts and scalars; None where one failed."""

    items: tuple[Text | Scalar | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A list of flat objects, or one."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a quiz."""

    question: str
    options: tuple[str, ...]
    answer: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Quiz:
    """Questions with their answers."""

    title: str
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Json:
    """Anything else, printed."""

    text: str


Shape = Gap | Cut | Text | Scalar | Items | Table | Quiz | Json


def of_slot(slot: Mapping[str, Any]) -> Shape:
    """What a slot of a page shows."""
    gap = slot.get("gap")
    if isinstance(gap, dict):
        return Gap(plain(gap.get("code")), plain(gap.get("message")))
    return of_value(slot.get("value"))


def of_value(value: Any) -> Shape:
    """What a node's output shows."""
    match value:
        case str():
            return Text(value)
        case None | bool() | int() | float():
            return Scalar(plain(value))
        case {"truncated": True, "step": str(step)}:
            size = value.get("bytes")
            return Cut(plain(value.get("preview")), size if isinstance(size, int) else 0, step)
        case {"questions": [_, *_] as questions} if all(map(_is_question, questions)):
            return Quiz(plain(value.get("title") or ""), tuple(map(_question, questions)))
        case dict() if _is_flat(value):
            return _table([value]) or Json(printed(value))
        case [_, *_] if all(map(_is_flat, value)):
            return _table(value) or Json(printed(value))
        case [_, *_] if all(map(_is_scalar, value)):
            return Items(tuple(_item(one) for one in value))
    return Json(printed(value))


def plain(value: Any) -> str:
    """A value on one line or, a text, as it is."""
    match value:
        case str():
            return value
        case None:
            return "—"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    return printed(value, indented=False)


def printed(value: Any, *, indented: bool = True) -> str:
    """JSON, indented unless it is deep."""
    option = orjson.OPT_INDENT_2 if indented and not depth_exceeds(value, MAX_DEPTH) else 0
    try:
        return orjson.dumps(value, option=option).decode()
    except orjson.JSONEncodeError:  # its own limit is 254 levels
        return "…"


def letter(place: int) -> str:
    """What an option is called: A, B, C …"""
    return chr(65 + place) if place < 26 else str(place + 1)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _is_flat(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_scalar, value.values()))


def _item(value: Any) -> Text | Scalar | None:
    if value is None:
        return None
    return Text(value) if isinstance(value, str) else Scalar(plain(value))


def _table(rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """The rows under all their names; None when those are too many."""
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
        if len(columns) > MAX_COLUMNS:
            return None
    cells = tuple(tuple(plain(row[name]) if name in row else "" for name in columns) for row in rows)
    return Table(tuple(columns), cells)


def _is_question(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("question"), str) and isinstance(value.get("options"), list)


def _question(value: Mapping[str, Any]) -> Question:
    options = tuple(map(plain, value["options"]))
    answer = value.get("answer")
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(options):
        answer = f"{letter(answer)}) {options[answer]}"
    return Question(value["question"], options, plain(answer), plain(value.get("explanation") or ""))
