"""Which session a request of an AG-UI client goes on with."""

import uuid

from headrace_runtime import errors

from headrace_edge.ag_ui.bodies import AgUiBody
from headrace_edge.edge import Edge


async def session_of(edge: Edge, tenant: str, body: AgUiBody) -> str | None:
    """The session of the run that asked back, else the one that the thread names; None begins one.

    Raises NotFound when an answer belongs to no run.
    """
    if body.resume:
        run_id, _, _ = body.resume[0].interrupt_id.rpartition(":")
        if not _is_uuid(run_id):
            raise errors.NotFound("no run of this tenant asked this back; interruptId is RUN_ID:N", reason="RUN_NOT_FOUND")
        return (await edge.runs.get(tenant, run_id)).run.session_id or None
    if not _is_uuid(body.thread_id):
        return None
    try:
        return (await edge.sessions.get(tenant, body.thread_id)).session_id
    except errors.NotFound:
        return None


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
