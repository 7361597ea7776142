"""Turns a client's body into a submitted run: idempotency key, workspace check, priority, trace."""

import uuid

from headrace_runtime import context

from headrace_edge import policy
from headrace_edge.auth import Caller
from headrace_edge.bodies import MAX_RUN_BODY_BYTES, RunBody
from headrace_edge.edge import Edge
from headrace_edge.middleware.admission import too_large
from headrace_edge.model import QueuePlace, Run, RunKind, Submission
from headrace_edge.policy import Fault, Problem, Refused

DEFAULT_WORKSPACE = "default"
"""Exists for every tenant."""


async def submit(
    edge: Edge, caller: Caller, body: RunBody, *, kind: RunKind, execute: bool, idempotency_key: str | None, priority: str
) -> tuple[Run, QueuePlace | None]:
    """Submit a run if it is admitted, and say what it waits for. `priority` holds when the body names none.

    Raises Refused, ServiceError.
    """
    made = await prepared(
        edge, caller, body, kind=kind, execute=execute, idempotency_key=idempotency_key, priority=priority
    )
    async with edge.admission.place(made) as place:
        return await edge.runs.submit(made), place


async def prepared(
    edge: Edge, caller: Caller, body: RunBody, *, kind: RunKind, execute: bool, idempotency_key: str | None, priority: str
) -> Submission:
    """Check a body and make its submission. Raises Refused, ServiceError."""
    request_id = run_request_id(idempotency_key)
    workspace = body.asked_workspace
    if workspace not in (None, DEFAULT_WORKSPACE):
        await edge.documents.require_workspace(caller.tenant, workspace)
    made = Submission(
        tenant=caller.tenant,
        request_id=request_id,
        kind=kind,
        body=body.run_body(execute=execute),
        session_id=body.session_id or "",
        priority=body.priority or priority,
        traceparent=context.traceparent(),
        model=body.asked_model,
        keyed=idempotency_key is not None,
    )
    require_size(made)
    return made


def require_size(submission: Submission) -> None:
    """Raise Refused (413) when a body is more than the executor takes."""
    if len(submission.body) > MAX_RUN_BODY_BYTES:
        raise Refused(too_large(MAX_RUN_BODY_BYTES))


def run_request_id(idempotency_key: str | None) -> str:
    """The client's key, or one made up: with an id a lost answer can be asked for again. Raises Refused (400)."""
    if idempotency_key is None:
        return f"edge-{uuid.uuid4().hex}"
    if not policy.valid_idempotency_key(idempotency_key):
        message = "must be 1 to 128 visible ASCII characters"
        raise Refused(
            Problem(400, "INVALID_HEADER", f"Idempotency-Key {message}", (Fault(("header", "Idempotency-Key"), message),))
        )
    return idempotency_key
