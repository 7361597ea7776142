"""Makes the event stream responses of the routes."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from headrace_runtime import errors
from starlette.responses import Response

from headrace_edge.auth import Caller
from headrace_edge.edge import Edge
from headrace_edge.model import Submission
from headrace_edge.policy import Problem, Refused
from headrace_edge.ports import Event
from headrace_edge.sse import AG_UI, Dialect, EventStream, Source, Timing

STREAM_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "AG-UI 1.0 events; `id:` is the sequence number for `Last-Event-ID`.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'retry: 2000\nid: 1\ndata: {"type":"RUN_STARTED","threadId":"…","runId":"…"}\n\n',
            }
        },
        "headers": {"X-Run-ID": {"schema": {"type": "string"}, "description": "The run."}},
    }
}


def _as_it_is(_: errors.ServiceError) -> Problem | None:
    return None


def submitted(
    edge: Edge,
    caller: Caller,
    prepare: Callable[[], Awaitable[Submission]],
    *,
    dialect: Dialect = AG_UI,
    abandoned: Callable[[str], Awaitable[None]] | None = None,
    refusal: Callable[[errors.ServiceError], Problem | None] = _as_it_is,
) -> Response:
    """Take a place, submit if admitted, and stream the run from its first event.

    `abandoned` is called with the run's id when the reader leaves before the end; `refusal` says what the client is told
    instead of an error of the executor's.
    """

    async def source() -> Source:
        try:
            run_id, events = await started(edge, await prepare())
        except errors.ServiceError as error:
            if (problem := refusal(error)) is not None:
                raise Refused(problem) from error
            raise
        return Source(run_id, events, wait_for_first=False, abandoned=abandoned)

    return _response(edge, caller, source, dialect)


async def started(edge: Edge, submission: Submission) -> tuple[str, AsyncGenerator[Sequence[Event], None]]:
    """Submit a run that is admitted and follow it from its first event: its id and events. Raises ServiceError, Refused."""
    opened = None
    async with edge.admission.place(submission):
        try:
            run, opened = await edge.runs.start(submission)
        except errors.Unavailable:  # the call may have arrived: submitted again under its request id it is the same run
            run = await edge.runs.submit(submission)
    return run.run_id, edge.watcher.follow(submission.tenant, run.run_id, after=0, opened=opened)


def joined(edge: Edge, caller: Caller, run_id: str, *, after: int) -> Response:
    """Stream what an existing run has after a sequence number."""

    async def source() -> Source:
        return Source(run_id, edge.watcher.follow(caller.tenant, run_id, after=after), wait_for_first=True)

    return _response(edge, caller, source)


def _response(edge: Edge, caller: Caller, source: Callable[[], Awaitable[Source]], dialect: Dialect = AG_UI) -> Response:
    settings = edge.settings
    timing = Timing(
        heartbeat_s=settings.heartbeat_s, send_timeout_s=settings.stream_send_timeout_s, open_s=settings.stream_open_s
    )
    return EventStream(streams=edge.streams, caller=caller, timing=timing, open_source=source, dialect=dialect)
