"""`POST /ag-ui`: AG-UI's protocol as its own clients speak it."""

from dataclasses import replace

import structlog
from fastapi import APIRouter
from headrace_runtime import errors
from pydantic import ValidationError
from starlette.responses import Response

from headrace_edge.ag_ui.bodies import AgUiBody
from headrace_edge.ag_ui.dialect import dialect
from headrace_edge.ag_ui.threads import asking_session
from headrace_edge.edge import Parts
from headrace_edge.json_body import JsonRoute
from headrace_edge.middleware.authentication import Runner
from headrace_edge.model import Submission
from headrace_edge.policy import Fault, Problem, Refused
from headrace_edge.routes import streaming
from headrace_edge.routes.parameters import IdempotencyKey
from headrace_edge.submitting import prepared

log = structlog.get_logger()
router = APIRouter(route_class=JsonRoute, tags=["conversation"])


@router.post("/ag-ui", response_class=Response, responses=streaming.STREAM_RESPONSES, summary="Run, as AG-UI does")
async def run_agent(body: AgUiBody, edge: Parts, caller: Runner, idempotency_key: IdempotencyKey = None) -> Response:
    """Answer the last user message of a RunAgentInput, or go on with `resume`, and stream the run's events.

    `forwardedProps` may have mode, workspace, model, priority, tools (names of GET /skills) and cancelOnDisconnect.
    """

    async def start() -> Submission:
        session_id = await asking_session(edge, caller.tenant, body)
        try:
            conversation = body.conversation(session_id)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            fault = Fault(("body", "messages"), first["msg"])
            raise Refused(Problem(422, "INVALID_ARGUMENT", f"messages: {first['msg']}", (fault,))) from error
        made = await prepared(
            edge,
            caller,
            conversation,
            kind="conversation",
            execute=True,
            idempotency_key=idempotency_key,
            priority="interactive",
        )
        return replace(made, thread_id="" if session_id else body.thread_id)

    async def cancel(run_id: str) -> None:
        try:
            await edge.runs.cancel(caller.tenant, run_id)
        except errors.FailedPrecondition:
            return  # it has ended
        except errors.ServiceError as error:
            log.warning("abandoned_run_goes_on", run_id=run_id, reason=error.reason)

    abandoned = cancel if body.asked.cancel_on_disconnect else None
    return streaming.submitted(edge, caller, start, dialect=dialect(body), abandoned=abandoned)
