"""Has a list of requests answered in the background, one after the other, so that they are kept when somebody asks."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
from headrace_runtime import errors

from headrace_llm import metrics
from headrace_llm.client import ChatRequest, ModelClient

Claim = Callable[[str], Awaitable[bool]]
"""Takes the one right to warm up, or takes it for longer, with a token; False while another process has it."""

log = structlog.get_logger()


async def run(models: ModelClient, requests: Sequence[ChatRequest], claim: Claim, *, limit_s: float) -> None:
    """Ask what is not kept yet, for `limit_s` seconds at most. One process of all does it; who comes later finds it kept.

    A request that fails is left out: whoever asks it later gets its answer, or the error, then.
    """
    token = secrets.token_hex(8)
    counts = {"asked": 0, "cached": 0, "failed": 0}
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            for at, request in enumerate(requests):
                if not await claim(token):
                    log.info("cache_warm_up_left", at=at)
                    return
                outcome = await _ask(models, request, at)
                counts[outcome] += 1
                metrics.CACHE_WARMED.labels(outcome).inc()
    log.info("cache_warm_up", requests=len(requests), **counts)


async def _ask(models: ModelClient, request: ChatRequest, at: int) -> str:
    try:
        done = await models.complete(request)
    except errors.ServiceError as error:
        log.warning("cache_warm_up_failed", at=at, reason=error.reason)
        return "failed"
    return "cached" if done.usage.total.cached_calls else "asked"
