"""Splits an MCP server's standard output into lines, and replaces those that are longer than a limit.

The protocol's package gathers a line until it ends, whatever its length. Its one place below that is the decoder that the
output is read through, which it takes by name: `encoding(limit)`. Here a message that is too long becomes the protocol's
error to the call that it answers, so that only this call fails, or `UNKNOWN`, when it does not tell which one that is.
"""

import codecs
import re
from functools import partial
from typing import Any

import mcp_types as mcp
import orjson
import pydantic_core

TOO_LARGE = "the answer is larger than the connector's max_response_bytes"
UNKNOWN = "headrace/oversized"
"""The method of the notification in place of what is too long and answers nothing that is known."""
BYTES_PER_LIST = 8
"""A message may have one list for so many bytes of its limit: a MiB of empty lists takes a third of a second to read."""
MAX_SKIPPED_BYTES = 64 * 1024 * 1024
"""Of a line that does not end, before it is given up."""

_ENDS_BYTES = 512
"""What is kept of a long message: an id is among its first fields, or its last."""
_NAME = "headrace-lines-"
_LAST_ID = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,128}")\s*\}\s*$')


def encoding(limit: int) -> str:
    """UTF-8, read as whole lines of at most `limit` bytes."""
    return f"{_NAME}{limit}"


class Lines(codecs.IncrementalDecoder):
    """Gives whole lines as text. One of more than `limit` bytes is replaced by what it means."""

    def __init__(self, errors: str = "strict", *, limit: int) -> None:
        super().__init__(errors)
        self._limit = limit
        self._line = bytearray()
        self._head: bytes | None = None
        self._skipped = 0

    def decode(self, data: Any, final: bool = False) -> str:
        """The lines that end in `data`. What is no UTF-8 is replaced, and then no message."""
        *ended, rest = bytes(data).split(b"\n")
        lines = list[str]()
        for part in ended:
            lines += self._taken(part)
            lines.append(self._whole())
        return "".join((*lines, *self._taken(rest)))

    def _taken(self, part: bytes) -> list[str]:
        """Add to the line; what stands for a line that is given up, as it does not end."""
        self._line += part
        if self._head is None and len(self._line) > self._limit:
            self._head = bytes(self._line[:_ENDS_BYTES])
        if self._head is None:
            return []
        self._skipped += len(part)
        del self._line[:-_ENDS_BYTES]
        if self._skipped <= MAX_SKIPPED_BYTES:
            return []
        self._skipped = 0
        return [_notification()]

    def _whole(self) -> str:
        head, line = self._head, bytes(self._line)
        self._line.clear()
        self._head, self._skipped = None, 0
        if head is None and line.count(b"[") > self._limit // BYTES_PER_LIST:
            head, line = line[:_ENDS_BYTES], line[-_ENDS_BYTES:]
        return f"{line.decode(errors='replace')}\n" if head is None else _instead(head, line)


def _instead(head: bytes, tail: bytes) -> str:
    """What stands for a message of which the beginning and the end are known."""
    try:
        begun = pydantic_core.from_json(head, allow_partial=True)
    except ValueError:
        return _notification()
    if not isinstance(begun, dict) or {"method", "params"} & begun.keys():
        return _notification()  # the server asks for something: its ids are its own
    found = begun.get("id")
    if found is None and (last := _LAST_ID.search(tail)) is not None:
        found = orjson.loads(last[1])
    if not isinstance(found, int | str):
        return _notification()
    error = {"code": mcp.INTERNAL_ERROR, "message": TOO_LARGE}
    return f"{orjson.dumps({'jsonrpc': '2.0', 'id': found, 'error': error}).decode()}\n"


def _notification() -> str:
    return f"{orjson.dumps({'jsonrpc': '2.0', 'method': UNKNOWN}).decode()}\n"


def _find(name: str) -> codecs.CodecInfo | None:
    limit = name.replace("_", "-").removeprefix(_NAME)
    if not limit.isdecimal() or name == limit:
        return None
    utf_8 = codecs.lookup("utf-8")
    return codecs.CodecInfo(utf_8.encode, utf_8.decode, name=name, incrementaldecoder=partial(Lines, limit=int(limit)))


codecs.register(_find)
