"""AG-UI's `context`: what the application knows of its user's situation, as one turn before the message. Pure."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

MAX_ITEMS = 256
MAX_CHARACTERS = 8_000
"""Of all entries together; one that does not fit is left out whole. Half of what prompts are shown of a history."""

_HEADING = "What the application tells about the situation:"


class ContextItem(BaseModel):
    """One thing that the application tells."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    description: str
    value: str


def turn(items: Sequence[ContextItem]) -> tuple[list[dict[str, str]], int]:
    """The entries as one turn, in a list that is empty if there are none, and how many entries did not fit."""
    lines, left = [_HEADING], MAX_CHARACTERS - len(_HEADING)
    for item in items:
        line = f"- {item.description}: {item.value}"
        if len(line) + 1 <= left:
            lines.append(line)
            left -= len(line) + 1
    left_out = len(items) - len(lines) + 1
    return ([{"role": "user", "text": "\n".join(lines)}] if lines[1:] else []), left_out
