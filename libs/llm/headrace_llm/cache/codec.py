"""What is kept as bytes: JSON, compressed where that pays. Pure."""

import zlib

import orjson

from headrace_llm.cache.policy import Kept
from headrace_llm.client import ToolCall

PLAIN, PACKED = b"0", b"1"
"""The first byte."""
PACK_FROM_BYTES = 1024
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""More than any model writes."""


def encode(kept: Kept) -> bytes:
    """The bytes of an answer. Raises `ValueError` for a text that is none (half a surrogate pair)."""
    calls = [[call.id, call.name, call.arguments] for call in kept.tool_calls]
    try:
        text = orjson.dumps([kept.text, kept.finish_reason, calls])
    except orjson.JSONEncodeError as error:
        raise ValueError(str(error)) from error
    return PLAIN + text if len(text) < PACK_FROM_BYTES else PACKED + zlib.compress(text, 1)


def decode(data: bytes) -> Kept:
    """`encode` backwards. Raises `ValueError` for anything else."""
    try:
        body = data[1:] if data[:1] == PLAIN else zlib.decompressobj().decompress(data[1:], MAX_UNPACKED_BYTES)
        match orjson.loads(body):
            case [str(text), str(finish_reason), list(calls)]:
                return Kept(text, finish_reason, tuple(ToolCall(*call) for call in calls))
    except (zlib.error, ValueError, TypeError) as error:
        raise ValueError(f"not an answer of ours: {type(error).__name__}") from error
    raise ValueError("not an answer of ours: other parts")
