"""Which session an answer of an AG-UI client belongs to; every other request's is found by its thread."""

import uuid

from headrace_runtime import errors

from headrace_edge.ag_ui.bodies import AgUiBody
from headrace_edge.edge import Edge


async def asking_session(edge: Edge, tenant: str, body: AgUiBody) -> str | None:
    """The session of the run that asked back; None when nothing is answered. Raises NotFound when no run asked that."""
    if not body.resume:
        return None
    run_id, _, _ = body.resume[0].interrupt_id.rpartition(":")
    if not _is_uuid(run_id):
        raise errors.NotFound("no run of this tenant asked this back; interruptId is RUN_ID:N", reason="RUN_NOT_FOUND")
    return (await edge.runs.get(tenant, run_id)).run.session_id or None


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
