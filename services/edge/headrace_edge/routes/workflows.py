"""Saved workflows: kept, validated, run."""

from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from headrace_edge import etags, preconditions
from headrace_edge.edge import Parts
from headrace_edge.json_body import JsonRoute
from headrace_edge.middleware.authentication import Reader, Runner
from headrace_edge.model import Accepted, Listing
from headrace_edge.negotiation import accepts_events
from headrace_edge.routes import streaming
from headrace_edge.routes.parameters import (
    ETAG,
    UNCHANGED,
    Cursor,
    IdempotencyKey,
    IfChanged,
    IfMatch,
    IfNoneMatch,
    Limit,
)
from headrace_edge.routes.tasks import accepted
from headrace_edge.submitting import prepared, submit
from headrace_edge.workflows import saving
from headrace_edge.workflows.bodies import SavedBody, StartBody, ValidateBody
from headrace_edge.workflows.model import Validity, Workflow, WorkflowEntry

router = APIRouter(route_class=JsonRoute, tags=["workflow"])

RESERVED = frozenset({"schema", "validate"})
"""Ids that would hide a route."""
SCHEMA_MEDIA_TYPE = "application/schema+json"
SCHEMA_MAX_AGE_S = 60
"""How long a schema is kept without asking again: a tool may be added."""


def _free(workflow_id: str) -> str:
    if workflow_id in RESERVED:
        raise PydanticCustomError("reserved", "is reserved; choose another id")
    return workflow_id


WorkflowId = Annotated[
    str,
    Path(pattern=r"^[a-z0-9-]{1,64}$", description="Chosen by the tenant; `schema` and `validate` are reserved."),
    AfterValidator(_free),
]
_WRITTEN: dict[int | str, dict[str, Any]] = {
    200: {"headers": ETAG},
    201: {"model": Workflow, "description": "It is new.", "headers": ETAG},
    412: {"description": "It is at another revision, which the ETag tells.", "headers": ETAG},
    428: {"description": "It exists, and the request does not say what it is based on.", "headers": ETAG},
}
_STARTED: dict[int | str, dict[str, Any]] = {
    200: {**streaming.STREAM_RESPONSES[200], "description": "With Accept: text/event-stream, the run's events."}
}
_SCHEMA: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JSON Schema (2020-12).", "content": {SCHEMA_MEDIA_TYPE: {"schema": {"type": "object"}}}},
    304: {"description": "The client has it already."},
}


@router.get("/api/workflows", response_model=Listing[WorkflowEntry], summary="List workflows")
async def list_workflows(edge: Parts, caller: Reader, cursor: Cursor = "", limit: Limit = 50) -> Listing[WorkflowEntry]:
    """Read the tenant's workflows in the order of their ids, without their blueprints."""
    return await edge.workflows.list(caller.tenant, cursor=cursor, limit=limit)


@router.get("/api/workflows/schema", response_class=Response, responses=_SCHEMA, summary="Read the blueprint's schema")
async def get_blueprint_schema(
    edge: Parts,
    caller: Reader,
    tools: Annotated[bool, Query(description="false: the language alone, without the tenant's tools.")] = True,
    if_none_match: IfChanged = None,
) -> Response:
    """The blueprint language as a JSON Schema that an editor completes from, with the tools' names and arguments."""
    schema = await edge.workflows.schema(caller.tenant if tools else "")
    headers = {"etag": etags.of_content(schema), "cache-control": f"private, max-age={SCHEMA_MAX_AGE_S}"}
    if etags.none_match(if_none_match, headers["etag"]):
        return Response(status_code=304, headers=headers)
    return Response(schema, headers=headers, media_type=SCHEMA_MEDIA_TYPE)


@router.post("/api/workflows/validate", response_model=Validity, summary="Validate a blueprint")
async def validate_workflow(body: ValidateBody, edge: Parts, caller: Reader) -> Validity:
    """Find every fault of a blueprint and its inputs, each with its JSON pointer and a hint. Nothing is kept or run."""
    return await edge.workflows.validate(
        caller.tenant,
        blueprint=orjson.dumps(body.blueprint),
        inputs=b"" if body.inputs is None else orjson.dumps(body.inputs),
        workflow_id=body.workflow_id or "",
    )


@router.get("/api/workflows/{workflow_id}", response_model=Workflow, responses=UNCHANGED, summary="Read a workflow")
async def get_workflow(
    workflow_id: WorkflowId, response: Response, edge: Parts, caller: Reader, if_none_match: IfChanged = None
) -> Workflow | Response:
    """Read one workflow with its blueprint."""
    found = await edge.workflows.get(caller.tenant, workflow_id)
    tag = etags.of_revision(found.revision)
    if etags.none_match(if_none_match, tag):
        return Response(status_code=304, headers={"etag": tag})
    response.headers["etag"] = tag
    return found


@router.put("/api/workflows/{workflow_id}", response_model=Workflow, responses=_WRITTEN, summary="Save a workflow")
async def put_workflow(
    workflow_id: WorkflowId,
    body: SavedBody,
    response: Response,
    edge: Parts,
    caller: Runner,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Workflow:
    """Make a workflow, or replace the revision that If-Match names. Its blueprint must be valid."""
    saved, created = await saving.save(
        edge.workflows,
        caller.tenant,
        workflow_id,
        blueprint=orjson.dumps(body.blueprint),
        description=body.description,
        when=preconditions.read(if_match, if_none_match),
    )
    response.headers["etag"] = etags.of_revision(saved.revision)
    if created:
        response.status_code = 201
        response.headers["location"] = f"/api/workflows/{workflow_id}"
    return saved


@router.delete("/api/workflows/{workflow_id}", status_code=204, summary="Remove a workflow")
async def delete_workflow(workflow_id: WorkflowId, edge: Parts, caller: Runner, if_match: IfMatch = None) -> Response:
    """Remove a workflow, with If-Match only that revision. Runs that have begun go on with their copy."""
    await saving.remove(edge.workflows, caller.tenant, workflow_id, when=preconditions.read(if_match, None))
    return Response(status_code=204)


@router.post(
    "/api/workflows/{workflow_id}/runs",
    status_code=202,
    response_model=Accepted,
    response_model_exclude_none=True,
    responses=_STARTED,
    summary="Run a workflow",
)
async def run_workflow(
    workflow_id: WorkflowId,
    body: StartBody,
    request: Request,
    response: Response,
    edge: Parts,
    caller: Runner,
    idempotency_key: IdempotencyKey = None,
) -> Accepted | Response:
    """Run a workflow as it is now on inputs that fit its schema: 202, or the events with Accept: text/event-stream."""
    page = body.page(workflow_id)
    if accepts_events(request.headers.get("accept", "")):
        start = partial(
            prepared, edge, caller, page, kind="page", execute=True, idempotency_key=idempotency_key, priority="interactive"
        )
        return streaming.submitted(edge, caller, start)
    run, place = await submit(
        edge, caller, page, kind="page", execute=True, idempotency_key=idempotency_key, priority="background"
    )
    return accepted(run, place, response)
