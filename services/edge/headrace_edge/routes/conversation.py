"""Conversations and plans: what a client asks for and waits for."""

import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from headrace_runtime import errors
from starlette.responses import Response

from headrace_edge import policy
from headrace_edge.auth import Caller
from headrace_edge.bodies import ConversationBody, WorkflowBody
from headrace_edge.edge import Edge, Parts
from headrace_edge.json_body import GONE, JsonRoute
from headrace_edge.middleware.authentication import Runner
from headrace_edge.model import ENDED, ConversationAnswer, Run, WorkflowAnswer
from headrace_edge.policy import Problem, Refused
from headrace_edge.routes import streaming
from headrace_edge.routes.parameters import IdempotencyKey
from headrace_edge.submitting import prepared, submit
from headrace_edge.waiting import ClientGone

router = APIRouter(route_class=JsonRoute, tags=["conversation"])


@router.post("/api/conversation", response_model=ConversationAnswer, summary="Answer a message")
async def converse(
    body: ConversationBody, request: Request, edge: Parts, caller: Runner, idempotency_key: IdempotencyKey = None
) -> Any:
    """Submit a message and wait for the whole answer. A `build` intent answers with its blueprint, not run.

    When something must be asked back, the reply is the question, and `interrupts` says how to `resume`.
    """
    run, _ = await submit(
        edge, caller, body, kind="conversation", execute=False, idempotency_key=idempotency_key, priority="interactive"
    )
    try:
        done = await _finished(edge, caller, run, request)
    except ClientGone:
        return Response(status_code=GONE)
    output = _object(done)
    return {
        "run_id": done.run_id,
        "session_id": done.session_id,
        "intent": output.get("intent"),
        "reply": policy.reply_of(output),
        "blueprint": output.get("blueprint"),
        "inputs": output.get("inputs"),
        "quiz": output.get("quiz"),
        "citations": output.get("citations") or [],
        "page": _reference(output.get("page")),
        "interrupts": output.get("interrupts") or [],
        "warnings": output.get("warnings") or [],
        "usage": done.usage,
        "timings": done.timings,
    }


@router.post(
    "/api/conversation/stream",
    response_class=Response,
    responses=streaming.STREAM_RESPONSES,
    summary="Answer a message, as it comes",
)
async def converse_streaming(
    body: ConversationBody, edge: Parts, caller: Runner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submit a message and stream the run's events. A `build` intent is run as well."""
    start = partial(
        prepared,
        edge,
        caller,
        body,
        kind="conversation",
        execute=True,
        idempotency_key=idempotency_key,
        priority="interactive",
    )
    return streaming.submitted(edge, caller, start)


@router.post("/api/workflow/generate", response_model=WorkflowAnswer, tags=["workflow"], summary="Plan a workflow")
async def generate_workflow(
    body: WorkflowBody, request: Request, edge: Parts, caller: Runner, idempotency_key: IdempotencyKey = None
) -> Any:
    """Turn a prompt into a blueprint, without running it.

    When something must be asked back, there is no blueprint, and `interrupts` says how to `resume`.
    """
    run, _ = await submit(
        edge, caller, body, kind="workflow", execute=False, idempotency_key=idempotency_key, priority="interactive"
    )
    try:
        done = await _finished(edge, caller, run, request)
    except ClientGone:
        return Response(status_code=GONE)
    output = _object(done)
    return {
        "run_id": done.run_id,
        "session_id": done.session_id,
        "blueprint": output.get("blueprint") or {},
        "inputs": output.get("inputs") or {},
        "warnings": output.get("warnings") or [],
        "origin": output.get("origin"),
        "interrupts": output.get("interrupts") or [],
        "usage": done.usage,
    }


async def _finished(edge: Edge, caller: Caller, run: Run, request: Request) -> Run:
    """The run, succeeded. Raises Refused for every other end and when the answer takes too long."""
    seconds = edge.settings.answer_timeout_s
    if run.status not in ENDED:
        record = await edge.waiter.until_end(caller.tenant, run.run_id, seconds=seconds, receive=request.receive)
    else:
        record = await edge.runs.get(caller.tenant, run.run_id)
    if record.run.status == "succeeded":
        return record.run
    if record.failure is not None:
        problem = policy.problem_of_failure(record.failure, now_s=time.time())
    elif record.run.status == "cancelled":
        problem = Problem(409, "RUN_CANCELLED", "the run was cancelled")
    else:
        problem = Problem(504, "ANSWER_TIMEOUT", f"the run has not ended within {seconds:g} s; it goes on")
    raise Refused(policy.of_run(problem, run.run_id))


def _object(run: Run) -> dict[str, Any]:
    if not isinstance(run.output, dict):
        raise errors.InternalError("the run's output is not an object")
    return run.output


def _reference(page: Any) -> dict[str, Any] | None:
    """Which stored page a run made; None for none, and for one that was not stored."""
    if not isinstance(page, dict) or "page_id" not in page:
        return None
    return {"page_id": page["page_id"], "version": page.get("version")}
