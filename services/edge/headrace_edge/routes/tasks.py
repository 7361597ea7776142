"""Runs as things of their own: submit, read, wait, follow, cancel."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response

from headrace_edge import policy
from headrace_edge.downloads import Download
from headrace_edge.edge import Parts
from headrace_edge.json_body import GONE, JsonRoute
from headrace_edge.middleware.authentication import Reader, Runner
from headrace_edge.model import Accepted, Listing, QueuePlace, Run, RunKind, RunStatus
from headrace_edge.policy import Fault, Problem, Refused
from headrace_edge.routes import streaming
from headrace_edge.routes.parameters import Cursor, IdempotencyKey, Limit, PathId
from headrace_edge.submitting import submit
from headrace_edge.task_bodies import TaskBody
from headrace_edge.waiting import ClientGone

router = APIRouter(route_class=JsonRoute, tags=["tasks"])


@router.post(
    "/api/tasks", status_code=202, response_model=Accepted, response_model_exclude_none=True, summary="Submit a run"
)
async def submit_task(
    body: TaskBody, response: Response, edge: Parts, caller: Runner, idempotency_key: IdempotencyKey = None
) -> Accepted:
    """Take a run on and answer at once; once answered, the run survives."""
    run, place = await submit(
        edge, caller, body, kind=body.kind, execute=True, idempotency_key=idempotency_key, priority="background"
    )
    return accepted(run, place, response)


def accepted(run: Run, place: QueuePlace | None, response: Response) -> Accepted:
    """The answer to who does not wait for the run."""
    links = policy.links(run.run_id)
    response.headers["location"] = links["self"]
    return Accepted(run_id=run.run_id, status=run.status, links=links, queue=place)


@router.get("/api/tasks", response_model=Listing[Run], summary="List runs, newest first")
async def list_tasks(
    edge: Parts,
    caller: Reader,
    session_id: Annotated[str, Query(max_length=128)] = "",
    status: RunStatus | None = None,
    kind: RunKind | None = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Listing[Run]:
    """Read the tenant's runs."""
    return await edge.runs.list(
        caller.tenant, session_id=session_id, status=status or "", kind=kind or "", cursor=cursor, limit=limit
    )


@router.get("/api/tasks/{run_id}", response_model=Run, summary="Read a run")
async def get_task(
    run_id: PathId,
    request: Request,
    edge: Parts,
    caller: Reader,
    wait: Annotated[int, Query(ge=0, le=60, description="Seconds to hold the answer until the run ends.")] = 0,
) -> Run | Response:
    """Read one run, at once or when it has ended."""
    if wait == 0:
        return (await edge.runs.get(caller.tenant, run_id)).run
    try:
        record = await edge.waiter.until_end(caller.tenant, run_id, seconds=wait, receive=request.receive)
    except ClientGone:
        return Response(status_code=GONE)
    return record.run


@router.get(
    "/api/tasks/{run_id}/events",
    response_class=Response,
    responses={
        **streaming.STREAM_RESPONSES,
        204: {"description": "The run has ended and has nothing after that event; an EventSource stops."},
        410: {"description": "The run's events are gone."},
    },
    summary="Follow a run",
)
async def follow_task(
    run_id: PathId,
    edge: Parts,
    caller: Reader,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", description="Resume after this event.")] = None,
    after: Annotated[str | None, Query(description="The same, for the first connection; the header wins.")] = None,
) -> Response:
    """Stream a run's events from the one after N, however often the connection broke."""
    position = policy.parse_after(last_event_id, after)
    if position is None:
        where = ("header", "Last-Event-ID") if last_event_id else ("query", "after")
        message = "must be an integer of 0 or more"
        raise Refused(Problem(400, "INVALID_POSITION", f"{where[1]} {message}", (Fault(where, message),)))
    return streaming.joined(edge, caller, run_id, after=position)


@router.get(
    "/api/tasks/{run_id}/outputs/{step:path}",
    response_class=Response,
    responses={200: {"description": "The output, JSON.", "content": {"application/json": {"schema": {}}}}},
    summary="Read a step's output",
)
async def get_output(
    run_id: PathId,
    step: Annotated[str, Path(min_length=1, max_length=512, description="Such as node:scores or node:scores[3].")],
    edge: Parts,
    caller: Reader,
) -> Response:
    """Read the whole output of one finished step, which events and runs may show shortened."""
    pieces = edge.runs.output(caller.tenant, run_id, step)
    settings = edge.settings
    return Download(pieces, send_timeout_s=settings.stream_send_timeout_s, max_bytes=settings.max_output_bytes)


@router.delete("/api/tasks/{run_id}", status_code=202, response_model=Run, summary="Cancel a run")
async def cancel_task(run_id: PathId, edge: Parts, caller: Runner) -> Run:
    """Ask a run to end; model calls in flight are aborted. 409 when it has ended."""
    return await edge.runs.cancel(caller.tenant, run_id)
