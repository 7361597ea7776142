"""ExecutorService: decodes, calls one use case, encodes."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_llm.client import ModelSignals
from headrace_runtime import errors

from headrace_executor import codec
from headrace_executor.model import Priority, Run
from headrace_executor.runs import ids
from headrace_executor.runs.costs import KindCosts
from headrace_executor.runs.queue_view import QueueView
from headrace_executor.runs.records import RunFilter
from headrace_executor.runs.watch import Watchers
from headrace_executor.service import Runs, SubmitRequest

MAX_WAIT_S = 60
MAX_TRACEPARENT = 128
MAX_THREAD = 200

Context = Any


class ExecutorServicer(pb_grpc.ExecutorServiceServicer):
    """headrace.executor.v1.ExecutorService."""

    def __init__(
        self,
        runs: Runs,
        watchers: Watchers,
        queue: QueueView,
        *,
        signals: Callable[[], Sequence[ModelSignals]],
        default_model: str,
        costs: KindCosts,
        slots: int,
        running: Callable[[], int],
    ) -> None:
        self._runs = runs
        self._watchers = watchers
        self._queue = queue
        self._signals = signals
        self._default_model = default_model
        self._costs = costs
        self._slots = slots
        self._running = running

    async def SubmitRun(self, request: pb.SubmitRunRequest, context: Context) -> pb.SubmitRunResponse:  # noqa: N802
        """Accept a run."""
        run, created = await self._submit(request)
        return pb.SubmitRunResponse(run=codec.run(run), created=created)

    async def StartRun(  # noqa: N802
        self, request: pb.StartRunRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.StartRunResponse]:
        """Accept a run and stream its events."""
        self._watchers.require_place()
        run, _ = await self._submit(request.submit)
        told: pb.Run | None = codec.run(run)
        try:
            async for batch in self._watchers.watch(run.tenant_id, run.run_id, after=0):
                yield pb.StartRunResponse(run=told, events=[pb.Event(seq=seq, data=data) for seq, data in batch])
                told = None
        except errors.ServiceError:
            if told is not None:  # accepted: the caller must know that, whatever becomes of the stream
                yield pb.StartRunResponse(run=told)
            raise

    async def _submit(self, request: pb.SubmitRunRequest) -> tuple[Run, bool]:
        kind = codec.KINDS.get(request.kind)
        if kind is None:
            raise codec.invalid("kind", "must be one of RunKind")
        if request.priority and request.priority not in codec.PRIORITIES:
            raise codec.invalid("priority", "must be one of Priority")
        if len(request.thread_id) > MAX_THREAD or "\x00" in request.thread_id:
            raise codec.invalid("thread_id", f"must have at most {MAX_THREAD} characters, none of them NUL")
        traceparent = request.traceparent
        return await self._runs.submit(
            SubmitRequest(
                tenant_id=codec.tenant(request.tenant_id),
                request_id=codec.name("request_id", request.request_id, required=False),
                session_id=request.session_id,
                kind=kind,
                priority=codec.PRIORITIES.get(request.priority),
                traceparent=traceparent if len(traceparent) <= MAX_TRACEPARENT and traceparent.isascii() else "",
                body=request.body,
                thread_id=request.thread_id,
            )
        )

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:  # noqa: N802
        """Answer with one run."""
        if not 0 <= request.wait_s <= MAX_WAIT_S:
            raise codec.invalid("wait_s", f"must be 0 to {MAX_WAIT_S}")
        run = await self._runs.get(codec.tenant(request.tenant_id), request.run_id, wait_s=request.wait_s)
        return pb.GetRunResponse(run=codec.run(run))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:  # noqa: N802
        """Answer with a page of runs."""
        session_id = ids.parse(request.session_id) if request.session_id else None
        if request.session_id and session_id is None:
            return pb.ListRunsResponse()
        wanted = RunFilter(session_id, codec.STATES.get(request.state), codec.KINDS.get(request.kind))
        page, rest = await self._runs.list(
            codec.tenant(request.tenant_id),
            wanted,
            before=codec.page_before(request.page_token),
            limit=codec.page_size(request.page_size),
        )
        token = codec.page_token(rest) if rest else ""
        return pb.ListRunsResponse(runs=[codec.run(run) for run in page], next_page_token=token)

    async def WatchRun(  # noqa: N802
        self, request: pb.WatchRunRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.WatchRunResponse]:
        """Stream a run's events."""
        run_id = ids.parse(request.run_id)
        if run_id is None:
            raise errors.NotFound("no such run", reason="RUN_NOT_FOUND")
        if request.after < 0:
            raise codec.invalid("after", "must not be negative")
        async for batch in self._watchers.watch(codec.tenant(request.tenant_id), run_id, after=request.after):
            yield pb.WatchRunResponse(events=[pb.Event(seq=seq, data=data) for seq, data in batch])

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:  # noqa: N802
        """Ask a run to end."""
        run = await self._runs.cancel(codec.tenant(request.tenant_id), request.run_id)
        return pb.CancelRunResponse(run=codec.run(run))

    async def GetOutput(  # noqa: N802
        self, request: pb.GetOutputRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.GetOutputResponse]:
        """Stream a finished step's output."""
        step = codec.step(request.step)
        for piece in await self._runs.output(codec.tenant(request.tenant_id), request.run_id, step):
            yield pb.GetOutputResponse(data=piece)

    async def QueueSignals(self, request: pb.QueueSignalsRequest, context: Context) -> pb.QueueSignalsResponse:  # noqa: N802
        """Answer with what scaling and admission decide by."""
        state = await self._queue.state()
        return pb.QueueSignalsResponse(
            time=codec.timestamp(state.time),
            queued_interactive=state.queued[Priority.INTERACTIVE],
            queued_standard=state.queued[Priority.STANDARD],
            queued_background=state.queued[Priority.BACKGROUND],
            running=state.running,
            oldest_wait_s=state.oldest_wait_s,
            slots_per_replica=self._slots,
            replicas=state.replicas,
            seconds_per_run=state.seconds_per_run,
            models=[codec.signals(one) for one in self._signals()],
            kinds=[codec.kind_signals(kind, cost) for kind, cost in self._costs.of_kinds().items()],
            default_model=self._default_model,
            running_here=self._running(),
        )
