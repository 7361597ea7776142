"""Values that are too large for one row: cut into parts, and put together again. Pure."""

from collections.abc import Iterator

ROW_BYTES = 256 * 1024
"""Bytes of a value in one row. What a part holds fits into one gRPC answer as well."""


def cut(value: bytes) -> list[bytes]:
    """A value's parts, none of them empty but the only one of an empty value."""
    return [value[at : at + ROW_BYTES] for at in range(0, len(value), ROW_BYTES)] or [b""]


def rest(value: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts after the first, with their numbers 1, 2, …; a value that one row holds has none."""
    for part, at in enumerate(range(ROW_BYTES, len(value), ROW_BYTES), 1):
        yield part, value[at : at + ROW_BYTES]
