"""Liveness, readiness and metrics."""

from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from headrace_edge.edge import Parts
from headrace_edge.middleware.authentication import Observer
from headrace_edge.model import Health

router = APIRouter(tags=["health"])

_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "Not ready."}}


@router.get("/api/health/live", summary="Is the process alive?")
async def live() -> Response:
    """Depends on nothing."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/api/health/ready", response_model=Health, responses=_NOT_READY, summary="Can it serve?")
async def ready(edge: Parts, response: Response) -> Health:
    """503 without an executor, and while the process stops. Without rag it is degraded and serves."""
    report = await edge.readiness.report()
    if report.status in ("unavailable", "draining"):
        response.status_code = 503
    return report


@router.get("/api/health", response_model=Health, responses=_NOT_READY, summary="Health of the suite")
async def health(edge: Parts, response: Response) -> Health:
    """The same as readiness."""
    return await ready(edge, response)


@router.get("/metrics", response_class=Response, summary="Prometheus metrics")
async def prometheus(caller: Observer) -> Response:
    """Metrics of the process that answers."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
