"""What a model wishes to have called, and how it is shown the results. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from headrace_llm.client import ToolCall
from headrace_tools.errors import ToolFailed
from headrace_tools.model import ToolEntry

from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json

MAX_NAME = 64
"""Characters of a function's name that every provider takes."""


def named(entries: Sequence[ToolEntry]) -> Mapping[str, ToolEntry]:
    """Tools by names that every provider takes, letters, digits, _ and -: `school.grades` is `school__grades`.

    One that would be too long, or like another one, ends in a part of its hash; the same tools have the same names.
    """
    found: dict[str, ToolEntry] = {}
    for entry in entries:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", entry.tool.name.replace(".", "__"))
        if len(name) > MAX_NAME or name in found:
            digest = hashlib.blake2b(entry.tool.name.encode(), digest_size=4).hexdigest()
            name = f"{name[: MAX_NAME - 9]}_{digest}"
        found[name] = entry
    return found


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model said in a round: a text, and the calls that it wishes."""

    text: str
    calls: tuple[ToolCall, ...]

    def to_json(self) -> Json:
        """As a step's output."""
        calls = [{"id": one.id, "name": one.name, "arguments": one.arguments} for one in self.calls]
        return {"text": self.text, "calls": calls}

    @staticmethod
    def from_json(value: Json) -> "Turn":
        """Decode `to_json`."""
        return Turn(value["text"], tuple(ToolCall(**one) for one in value["calls"]))


def function(name: str, entry: ToolEntry) -> Mapping[str, Json]:
    """A tool in OpenAI's form."""
    function = {"name": name, "description": entry.tool.description, "parameters": dict(entry.tool.input_schema)}
    return {"type": "function", "function": function}


def arguments(text: str) -> Mapping[str, Json]:
    """What a model wrote as a call's arguments. Raises `ToolFailed`."""
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise ToolFailed(f"the arguments are not JSON: {error}", reason="invalid") from error
    if not isinstance(value, dict):
        raise ToolFailed("the arguments must be a JSON object", reason="invalid")
    return value


def canonical(text: str) -> bytes:
    """Arguments as one text, whatever their layout and the order of their fields."""
    try:
        return orjson.dumps(orjson.loads(text or "{}"), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError:
        return text.encode()


def cut(output: Json, limit: int) -> str:
    """A result as the model reads it, its beginning when it is larger than `limit` bytes."""
    data = output.encode() if isinstance(output, str) else orjson.dumps(output)
    if len(data) <= limit:
        return data.decode()
    return f"{data[:limit].decode(errors='ignore')}\n… (the first {limit} of {len(data)} bytes)"


def error(text: str) -> str:
    """A failure as the model reads it."""
    return orjson.dumps({"error": text}).decode()


def size(text: str) -> int:
    """A text's bytes."""
    return len(text.encode(errors="surrogatepass"))


def require_small(turn: Turn, limit: int) -> None:
    """Refuse wishes of more than `limit` bytes. Raises `RunFailed`."""
    if sum(size(call.name) + size(call.arguments) for call in turn.calls) > limit:
        raise RunFailed(FailureCode.PROVIDER, f"its model wished calls of more than {limit} bytes; set max_tokens.")
