"""Ids that sort by time: UUIDv7 (RFC 9562). The log's partitions are ranges of them."""

import secrets
import time
import uuid
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new() -> str:
    """A new id: 48 bits of milliseconds, 12 bits of their fraction, 62 random bits."""
    ns = time.time_ns()
    ms, rest = divmod(ns, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    value = ms << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def parse(text: str) -> str | None:
    """The canonical form of an id, None when it is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def first_of(day: date) -> str:
    """The smallest id that is made on a day (UTC) or later."""
    since = datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH
    return str(uuid.UUID(int=since // timedelta(milliseconds=1) << 80))


def day_of(run_id: str) -> date:
    """The day (UTC) that an id was made on."""
    return (_EPOCH + timedelta(milliseconds=uuid.UUID(run_id).int >> 80)).date()
