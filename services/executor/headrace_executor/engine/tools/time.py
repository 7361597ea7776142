"""The time in a timezone. The clock is the caller's."""

import zoneinfo
from datetime import datetime
from typing import Any

from headrace_executor.engine.tools.errors import ToolFailed


def tell(now: datetime, timezone: str = "UTC") -> dict[str, Any]:
    """Return {time: RFC 3339, timezone, weekday, unix_s} of an aware `now`. Raises `ToolFailed` for an unknown timezone."""
    try:
        zone = zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolFailed(f"unknown timezone {timezone[:80]!r}; use an IANA name such as Europe/Berlin or UTC") from error
    local = now.astimezone(zone)
    return {
        "time": local.isoformat(timespec="seconds"),
        "timezone": timezone,
        "weekday": local.strftime("%A"),
        "unix_s": int(now.timestamp()),
    }
