"""What a run asks back, and the answer to it: AG-UI's interrupts and `resume`. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Any

MAX_LABEL_FACTS = 4
"""Fields of a candidate that are shown beside its name."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate: what is sent for it, and how it is shown."""

    value: Json
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Question:
    """One interrupt."""

    interrupt_id: str
    message: str
    choices: Sequence[Choice]
    """None: any text is an answer."""
    schema: Mapping[str, Json]


def question(interrupt: Mapping[str, Json]) -> Question:
    """Read an interrupt of whatever shape it has."""
    schema = _object(interrupt.get("responseSchema"))
    metadata = _object(interrupt.get("metadata"))
    candidates = metadata.get("candidates")
    found = [_object(one) for one in candidates] if isinstance(candidates, list) else []
    choices = [_choice(one) for one in found if one.get("id") is not None]
    return Question(
        interrupt_id=str(interrupt.get("id", "")),
        message=str(interrupt.get("message") or "Which one is meant?"),
        choices=choices or [Choice(value, str(value), str(value)) for value in _enum(schema)],
        schema=schema,
    )


def lines(asked: Question) -> list[str]:
    """The question and its numbered candidates."""
    return [asked.message, *(f"  {number}. {choice.label}" for number, choice in enumerate(asked.choices, start=1))]


def answer(asked: Question, text: str) -> dict[str, Json] | None:
    """The entry of `resume` for what somebody typed: a number, a name or an id; nothing cancels. None: it is no answer."""
    text = text.strip()
    entry = {"interrupt_id": asked.interrupt_id}
    if not text:
        return {**entry, "status": "cancelled"}
    if not asked.choices:
        return {**entry, "status": "resolved", "payload": _payload(asked.schema, text)}
    chosen = _chosen(asked.choices, text)
    return None if chosen is None else {**entry, "status": "resolved", "payload": _payload(asked.schema, chosen.value)}


def _chosen(choices: Sequence[Choice], text: str) -> Choice | None:
    named = [choice for choice in choices if text.casefold() in (str(choice.value).casefold(), choice.label.casefold())]
    named = named or [choice for choice in choices if text.casefold() == choice.name.casefold()]
    if len(named) == 1:
        return named[0]
    if not named and text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= len(choices):
        return choices[int(text) - 1]
    return None


def _choice(candidate: Mapping[str, Json]) -> Choice:
    name = str(candidate.get("name") or candidate["id"])
    facts = [
        f"{key} {value}" for key, value in candidate.items() if key not in ("id", "name") and isinstance(value, str | int)
    ]
    about = f" ({', '.join(facts[:MAX_LABEL_FACTS])})" if facts else ""
    return Choice(candidate["id"], name, f"{name}{about} [{candidate['id']}]")


def _payload(schema: Mapping[str, Json], value: Json) -> Json:
    """The value as the schema has it: bare, or as an object's one required field."""
    if schema.get("type") != "object":
        return value
    properties = _object(schema.get("properties"))
    required = schema.get("required")
    names = [str(name) for name in required] if isinstance(required, list) else list(properties)
    return {names[0]: value} if names else value


def _enum(schema: Mapping[str, Json]) -> list[Json]:
    """The values that are allowed, of the answer itself or of its one field."""
    own = schema.get("enum")
    if isinstance(own, list):
        return own
    fields = list(_object(schema.get("properties")).values())
    inner = _object(fields[0]).get("enum") if fields else None
    return inner if isinstance(inner, list) else []


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
