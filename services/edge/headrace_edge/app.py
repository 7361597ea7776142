"""Wires the edge: channels, clients, parts, routes, middleware."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import metadata

import structlog
from fastapi import FastAPI
from headrace_runtime import channels
from starlette.types import ASGIApp

from headrace_edge import auth, docs_page, openapi, problems
from headrace_edge.adapters.calls import Caller as ServiceCaller
from headrace_edge.adapters.chat_client import ExecutorChats
from headrace_edge.adapters.executor_client import ExecutorCatalog, ExecutorRuns, ExecutorSessions
from headrace_edge.adapters.health_client import HealthProbe
from headrace_edge.adapters.memories_client import ExecutorMemories
from headrace_edge.adapters.pages_client import NEVER_REPEATED, ExecutorPages
from headrace_edge.adapters.rag_client import RagDocuments
from headrace_edge.adapters.usage_client import ExecutorUsage
from headrace_edge.adapters.workflows_client import ExecutorWorkflows
from headrace_edge.draining import Drain
from headrace_edge.edge import Edge
from headrace_edge.limits import KeyWork, Rates, Streams, Work
from headrace_edge.middleware.admission import AdmissionMiddleware
from headrace_edge.middleware.authentication import AuthenticationMiddleware
from headrace_edge.middleware.requests import RequestMiddleware
from headrace_edge.model import PRIORITIES
from headrace_edge.quota.admission import RunAdmission
from headrace_edge.quota.desk import DeskLimits
from headrace_edge.quota.gate_probe import GateProbe
from headrace_edge.quota.promises import BookLimits
from headrace_edge.quota.signals import Signals
from headrace_edge.readiness import Probe, Readiness
from headrace_edge.routes import (
    ag_ui,
    catalog,
    conversation,
    documents,
    health,
    memories,
    openai_chat,
    openai_models,
    pages,
    sessions,
    tasks,
    usage,
    workflows,
)
from headrace_edge.settings import Settings
from headrace_edge.waiting import Waiter
from headrace_edge.watching import Watcher

LOOPBACK_TENANT = "default"
_ROUTES = (
    conversation,
    openai_chat,
    ag_ui,
    health,
    tasks,
    workflows,
    pages,
    sessions,
    memories,
    documents,
    catalog,
    openai_models,
    usage,
)
"""In the order of their use: routes are matched one after another."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Application:
    """What the server serves and stops."""

    asgi: ASGIApp
    drain: Drain
    streams: Streams


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[Application]:
    """The edge, with its channels open. Raises auth.KeysFileError."""
    keys = _keys(settings)
    async with AsyncExitStack() as stack:
        executor = await stack.enter_async_context(channels.open_channel(settings.executor_target, once=NEVER_REPEATED))
        rag = await stack.enter_async_context(channels.open_channel(settings.rag_target))
        to_executor = ServiceCaller("executor", settings.call_timeout_s, settings.call_retry_s)
        to_rag = ServiceCaller("rag", settings.call_timeout_s, settings.call_retry_s)
        runs = ExecutorRuns(
            executor, to_executor, watch_max_s=settings.watch_max_s, output_timeout_s=settings.output_timeout_s
        )
        drain, streams = Drain(), Streams(settings.max_streams)
        listed = ExecutorCatalog(executor, to_executor)
        signals = _signals(settings, runs, listed)
        probes: dict[str, Probe] = {
            "executor": HealthProbe(executor, timeout_s=settings.health_timeout_s),
            "rag": HealthProbe(rag, timeout_s=settings.health_timeout_s),
            "gate": GateProbe(signals),
        }
        edge = Edge(
            settings=settings,
            runs=runs,
            sessions=ExecutorSessions(executor, to_executor),
            catalog=listed,
            chats=ExecutorChats(executor, to_executor),
            documents=RagDocuments(rag, to_rag, search_timeout_s=settings.search_timeout_s),
            usage=ExecutorUsage(executor, to_executor),
            workflows=ExecutorWorkflows(executor, to_executor),
            pages=ExecutorPages(executor, to_executor, output_timeout_s=settings.output_timeout_s),
            memories=ExecutorMemories(executor, to_executor),
            watcher=Watcher(runs, settings.watch_retry_s),
            waiter=Waiter(runs, drain, settings.wait_slice_s),
            streams=streams,
            admission=RunAdmission(signals, _desk_limits(settings, keys)),
            readiness=Readiness(probes, frozenset({"executor"}), _version(), drain, settings.health_ttl_s),
            drain=drain,
        )
        yield Application(_guarded(_routes(edge), edge, keys), drain, streams)


def _keys(settings: Settings) -> auth.Keys | None:
    if settings.api_keys_file is None:
        if not auth.is_loopback(settings.listen):
            log.warning("no_api_keys", listen=settings.listen, effect="callers from other machines get 401")
        return None
    return auth.read_keys(
        settings.api_keys_file,
        os.environ,
        requests_per_minute=settings.requests_per_minute,
        max_streams=settings.max_streams_per_key,
    )


def _signals(settings: Settings, runs: ExecutorRuns, listed: ExecutorCatalog) -> Signals:
    return Signals(runs, listed, timeout_s=settings.admission_signals_timeout_s, stale_s=settings.admission_stale_s)


def _desk_limits(settings: Settings, keys: auth.Keys | None) -> DeskLimits:
    return DeskLimits(
        patience_s={one: getattr(settings, f"admission_patience_{one}_s") for one in PRIORITIES},
        guessed_calls=settings.admission_calls_per_run,
        share=settings.admission_share,
        book=BookLimits(
            promises=settings.admission_max_promises,
            per_tenant=settings.admission_max_promises_per_tenant,
            max_s=settings.admission_max_retry_s,
            grace_s=settings.admission_grace_s,
            share=settings.admission_promised_share,
            tenants=keys.tenants if keys else 1,
        ),
    )


def _routes(edge: Edge) -> FastAPI:
    app = FastAPI(
        # The outermost middleware makes the one span of a request; FastAPI's own would tell its query too.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        title="Headrace",
        version=_version(),
        description=openapi.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        responses=openapi.PROBLEM_RESPONSES,
        exception_handlers=problems.HANDLERS,  # type: ignore[arg-type]
    )
    app.state.edge = edge
    for module in _ROUTES:
        app.include_router(module.router)
    openapi.install(app)
    docs_page.install(app)
    return app


def _guarded(app: ASGIApp, edge: Edge, keys: auth.Keys | None) -> ASGIApp:
    settings = edge.settings
    loopback = auth.Caller(
        "loopback", LOOPBACK_TENANT, frozenset(auth.Scope), settings.loopback_requests_per_minute, settings.max_streams
    )
    of_a_key = settings.max_requests_per_key if keys else settings.max_requests
    known = AuthenticationMiddleware(app, keys=keys, loopback=loopback, rates=Rates(), work=KeyWork(of_a_key))
    admitted = AdmissionMiddleware(
        known,
        work=Work(settings.max_requests),
        drain=edge.drain,
        max_header_bytes=settings.max_header_bytes,
        max_body_bytes=settings.max_body_bytes,
    )
    return RequestMiddleware(admitted)


def _version() -> str:
    return metadata.version("headrace-edge")
