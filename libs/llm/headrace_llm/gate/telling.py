"""Tells calls that wait where they stand in the queue."""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from headrace_llm.client import Wait
from headrace_llm.gate.limiter import Standing
from headrace_llm.gate.pace import SECOND_US
from headrace_llm.gate.waiting import Waiting

MOST_TOLD = 256
"""Calls that are told, those of the oldest work; counting places is work for Redis."""

log = structlog.get_logger()


async def tell(
    waiting: Sequence[Waiting], standings: Callable[[Sequence[str]], Awaitable[Sequence[Standing | None]]], *, now: float
) -> None:
    """Tell those of the calls, oldest first, that want to know it."""
    curious = [one for one in waiting if one.ask.on_wait is not None][:MOST_TOLD]
    found = await standings([one.id for one in curious]) if curious else ()
    for one, standing in zip(curious, found, strict=True):
        if standing is None or one.ask.on_wait is None or one.turn.done():
            continue
        try:
            one.ask.on_wait(Wait(standing.ahead + 1, standing.wait_us / SECOND_US, now - one.since))
        except Exception:  # everybody's pump goes on
            log.exception("on_wait_failed", call=one.id)
