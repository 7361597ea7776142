"""kopf watches the ExecutorScalers and tells what changed. It runs in a thread with a loop of its own.

There it may take signals and cancel every task that it does not know, as it does when it ends, and hurt nothing of ours.
It has no handler that writes: no finalizer, no annotation, no progress in the status.
"""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, cast

import kopf
import structlog

from headrace_operator.adapters import kube
from headrace_operator.custom_resource import GROUP, PLURAL, VERSION
from headrace_operator.ports import Json

RETRY_S = 2.0
"""Between two tries of a request that failed."""
STOP_S = 3.0
"""Longest that ending kopf may take."""

log = structlog.get_logger()


class _Endless:
    """kopf takes its retries from an iterable, and ends for good with the last one."""

    def __iter__(self) -> Iterator[float]:
        return repeat(RETRY_S)


def _settings(request_timeout_s: float) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = request_timeout_s
    settings.networking.connect_timeout = request_timeout_s
    settings.networking.error_backoffs = _Endless()
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 250
    settings.watching.reconnect_backoff = RETRY_S
    settings.process.ultimate_exiting_timeout = None
    return settings


async def watch(
    namespaces: Sequence[str] | None, *, changed: Callable[[Json, bool], None], request_timeout_s: float
) -> None:
    """Call `changed(scaler, gone)` in this loop for each change, until cancelled.

    Raises `RuntimeError` when kopf ends by itself: a watch that is not there must not look like one without news.
    """
    # At the level INFO it tells of every event that it hands on.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    loop = asyncio.get_running_loop()
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def _login(**_: Any) -> kopf.ConnectionInfo:
        return kube.login()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def _event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        loop.call_soon_threadsafe(changed, dict(body), type == "DELETED")

    stop = threading.Event()
    ended: asyncio.Future[None] = loop.create_future()

    def run() -> None:
        failure: BaseException | None = None
        operator = kopf.operator(
            registry=registry,
            settings=_settings(request_timeout_s),
            standalone=True,
            # Otherwise kopf asks for the user's name, and a container's user has none.
            identity=cast("Any", PLURAL),
            clusterwide=namespaces is None,
            namespaces=namespaces or (),
            stop_flag=stop,
        )
        try:
            asyncio.run(operator)
        except BaseException as error:  # noqa: BLE001 - handed to the loop that waits for it
            failure = error
        loop.call_soon_threadsafe(_end, ended, failure)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="kopf", daemon=True).start()
    try:
        await asyncio.shield(ended)
    finally:
        stop.set()
        if not ended.done():
            _, running = await asyncio.wait([ended], timeout=STOP_S)
            if running:
                log.warning("kopf_does_not_end", seconds=STOP_S)
    raise RuntimeError("kopf ended")


def _end(ended: asyncio.Future[None], failure: BaseException | None) -> None:
    if ended.done():
        return
    if isinstance(failure, Exception):
        ended.set_exception(failure)
    else:
        ended.set_result(None)
