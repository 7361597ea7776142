"""A run's events with the client's own `threadId` and `runId`, and warnings of what in its request has no effect."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from headrace_runtime import errors

from headrace_edge import sse
from headrace_edge.ag_ui.bodies import AgUiBody
from headrace_edge.ports import Event

_STARTED = b'{"type":"RUN_STARTED"'
_NAMING = (_STARTED, b'{"type":"RUN_FINISHED"')
"""How the events begin that name the thread and the run."""


def dialect(body: AgUiBody) -> sse.Dialect:
    """How the answer to a request looks on the wire.

    A client of this protocol cannot come back for the rest of a stream, so that the process waits for its end, and one that
    breaks off is told. What is no event of the run's log has no `id:`.
    """
    names = {"threadId": body.thread_id, "runId": body.run_id}
    warnings = b"".join(_unnumbered(_warning(code, text)) for code, text in body.without_effect())

    def frame(events: Sequence[Event]) -> bytes:
        return b"".join(map(framed, events))

    def framed(event: Event) -> bytes:
        data = event.data
        if data.startswith(_NAMING):
            data = _renamed(orjson.loads(data), names)
        own = b"id: %d\ndata: %b\n\n" % (event.seq, data)
        return own + warnings if data.startswith(_STARTED) else own

    return sse.Dialect(frame, sse.RETRY, farewell=_farewell)


def _renamed(event: Mapping[str, Any], names: Mapping[str, str]) -> bytes:
    if event["type"] != "RUN_STARTED":
        return orjson.dumps({**event, **names})
    ours = {"run_id": event["runId"], "session_id": event["threadId"]}
    return orjson.dumps({**event, **names, "metadata": {**event.get("metadata", {}), **ours}})


def _farewell(error: errors.ServiceError) -> bytes:
    text = f"the stream broke off: {error}; GET /api/tasks/RUN_ID/events has the rest, RUN_ID being that of X-Run-ID"
    return _unnumbered({"type": "RUN_ERROR", "code": "internal", "message": text, "metadata": {"reason": error.reason}})


def _warning(code: str, text: str) -> Mapping[str, Any]:
    return {"type": "CUSTOM", "name": "headrace.warning", "value": {"code": code, "message": text}}


def _unnumbered(event: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(event)
