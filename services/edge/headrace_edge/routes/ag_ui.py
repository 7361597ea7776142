"""`POST /ag-ui`: AG-UI's protocol as its own clients speak it."""

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from headrace_edge.ag_ui.bodies import AgUiBody
from headrace_edge.ag_ui.threads import session_of
from headrace_edge.edge import Parts
from headrace_edge.json_body import JsonRoute
from headrace_edge.middleware.authentication import Runner
from headrace_edge.model import Submission
from headrace_edge.policy import Fault, Problem
from headrace_edge.problems import Refused
from headrace_edge.routes import streaming
from headrace_edge.routes.parameters import IdempotencyKey
from headrace_edge.submitting import prepared

router = APIRouter(route_class=JsonRoute, tags=["conversation"])


@router.post("/ag-ui", response_class=Response, responses=streaming.STREAM_RESPONSES, summary="Run, as AG-UI does")
async def run_agent(body: AgUiBody, edge: Parts, caller: Runner, idempotency_key: IdempotencyKey = None) -> Response:
    """Answer the last user message of a RunAgentInput, or go on with `resume`, and stream the run's events.

    `forwardedProps` may have mode, workspace, model and priority.
    """

    async def start() -> Submission:
        session_id = await session_of(edge, caller.tenant, body)
        try:
            conversation = body.conversation(session_id)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            fault = Fault(("body", "messages"), first["msg"])
            raise Refused(Problem(422, "INVALID_ARGUMENT", f"messages: {first['msg']}", (fault,))) from error
        return await prepared(
            edge,
            caller,
            conversation,
            kind="conversation",
            execute=True,
            idempotency_key=idempotency_key,
            priority="interactive",
        )

    return streaming.submitted(edge, caller, start)
