"""Wires the operator: the API server, the watch, the loops, the probes."""

import asyncio
import signal
import time
from collections.abc import Sequence
from typing import Any

import prometheus_client
import structlog
from headrace_runtime import tasks

from headrace_operator.adapters import kube, probes, watch
from headrace_operator.adapters.executors import GrpcExecutors
from headrace_operator.fleet import Fleet, Limits
from headrace_operator.ports import Key
from headrace_operator.scaler import Scaler
from headrace_operator.settings import Settings

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Look after the ExecutorScalers until SIGTERM or SIGINT, or until a task that must not end has ended; that one raises.

    Raises `InvalidSettings` when there is no way to an API server.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    if settings.metrics_listen:
        host, _, port = settings.metrics_listen.rpartition(":")
        prometheus_client.start_http_server(int(port), addr=host or "::")
    namespaces = chosen(settings.namespaces, own=kube.login().default_namespace or "default")
    async with (
        kube.open_cluster(namespaces, timeout_s=settings.request_timeout_s) as cluster,
        tasks.guard() as guard,
    ):

        def make(key: Key) -> Scaler:
            return Scaler(key, cluster, GrpcExecutors(limit=settings.max_executors), clock=time.time)

        fleet = Fleet(cluster, make, _limits(settings), clock=loop.time)
        async with probes.serve(settings.listen, fleet.vitals) as probe_port:
            guard.start(fleet.run(), name="fleet")
            guard.start(_watch(fleet, namespaces, settings), name="watch")
            log.info("started", port=probe_port, namespaces="*" if namespaces is None else list(namespaces))
            stopped = asyncio.create_task(stop.wait(), name="signal")
            waits: set[asyncio.Future[Any]] = {stopped, guard.failed}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if guard.failed.done():
                guard.failed.result()
    log.info("stopped")


async def _watch(fleet: Fleet, namespaces: Sequence[str] | None, settings: Settings) -> None:
    """Watch from when there is something to watch: kopf looks only once whether there is such a resource."""
    await fleet.listed.wait()
    await watch.watch(namespaces, changed=fleet.changed, request_timeout_s=settings.request_timeout_s)


def chosen(setting: str, *, own: str) -> Sequence[str] | None:
    """The namespaces that a setting means; None means all."""
    return None if setting == "*" else tuple(dict.fromkeys(setting.split(","))) if setting else (own,)


def _limits(settings: Settings) -> Limits:
    return Limits(
        scalers=settings.max_scalers,
        tick_timeout_s=settings.tick_timeout_s,
        backoff_s=settings.backoff_s,
        backoff_max_s=settings.backoff_max_s,
        relist_s=settings.relist_s,
        watch_lag_s=settings.watch_lag_s,
    )
