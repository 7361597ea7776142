"""The judge of tools' arguments: every call that is made passes here, a connector's and a built-in tool's."""

import asyncio
from collections.abc import Mapping

from headrace_schemas import counted

from headrace_tools import metrics, schemas
from headrace_tools.model import Json


async def check(name: str, validator: counted.Validator, arguments: Mapping[str, Json]) -> None:
    """Hold arguments against their schema, in a thread when that takes long. Raises `ToolFailed`."""
    if not schemas.checked_at_once(name, validator, arguments):
        metrics.LONG_CHECKS.inc()
        await asyncio.to_thread(schemas.check, name, validator, arguments)
