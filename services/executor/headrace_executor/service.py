"""The use cases of runs: submit, get, list, cancel. Watching is `watch`'s."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from headrace_llm.usage import Usage
from headrace_runtime import errors

from headrace_executor import events, metrics
from headrace_executor.model import Failure, FailureCode, Priority, Run, RunKind, RunState
from headrace_executor.resolution import Resolved, Resolver
from headrace_executor.runs import bodies, ids
from headrace_executor.runs.journal import cancelled_event
from headrace_executor.runs.records import Chunk, RunFilter, Submission
from headrace_executor.runs.stores import Hints, LogStore, RunStore
from headrace_executor.runs.submit import Submitter
from headrace_executor.runs.watch import Watchers
from headrace_executor.usage import Budgets

ATTEMPTS = 5
"""How often ending a queued run is tried when its place in the queue is being noted at the same moment."""


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A request for a run, not yet checked."""

    tenant_id: str
    request_id: str
    session_id: str
    kind: RunKind
    priority: Priority | None
    traceparent: str
    body: bytes
    thread_id: str = ""
    """What the client calls its conversation."""


class Runs:
    """What may be asked about runs."""

    def __init__(
        self,
        runs: RunStore,
        logs: LogStore,
        *,
        submitter: Submitter,
        watchers: Watchers,
        hints: Hints,
        cancel_local: Callable[[Sequence[str]], None],
        models: Sequence[str],
        resolver: Resolver,
        budgets: Budgets | None = None,
    ) -> None:
        self._runs = runs
        self._logs = logs
        self._submitter = submitter
        self._watchers = watchers
        self._hints = hints
        self._cancel_local = cancel_local
        self._models = models
        self._resolver = resolver
        self._budgets = budgets

    async def submit(self, request: SubmitRequest) -> tuple[Run, bool]:
        """Accept a run and return it, and whether it is new.

        Raises InvalidArgument, NotFound (session, workflow, page), Aborted (PAGE_CHANGED) and what `Submitter.submit` does.
        """
        checked = bodies.check(request.kind, request.body, models=self._models)
        resolved, refusal = await self._resolved(request, checked.body)
        title = checked.title or resolved.title
        session_id, run_id = _session(request), ids.new()
        submission = Submission(
            run_id=run_id,
            tenant_id=request.tenant_id,
            request_id=request.request_id,
            request_hash=_digest(request),
            session_id=session_id,
            new_session=not (request.session_id or request.thread_id),
            title=title,
            kind=request.kind,
            priority=request.priority or bodies.default_priority(request.kind),
            body=resolved.body,
            message=checked.message,
            traceparent=request.traceparent,
            started=orjson.dumps(events.run_started(session_id, run_id)),
            thread_id=request.thread_id if not request.session_id else "",
        )
        refusal = refusal or await self._refusal(request.tenant_id)
        accepted = await self._submitter.submit(submission, refusal=refusal)
        if accepted.created_at is None:
            return await self.get(request.tenant_id, accepted.run_id), False
        run = Run(
            run_id=run_id,
            tenant_id=request.tenant_id,
            session_id=accepted.session_id,
            kind=request.kind,
            state=RunState.RUNNING if accepted.claimed else RunState.QUEUED,
            priority=submission.priority,
            created_at=accepted.created_at,
            started_at=accepted.created_at if accepted.claimed else None,
            attempt=int(accepted.claimed),
            last_seq=1,
        )
        return run, True

    async def _resolved(self, request: SubmitRequest, body: bodies.Body) -> tuple[Resolved, errors.ServiceError | None]:
        """What the run gets, and why no new one can be made of the request: an equal earlier one may have its run.

        The request's hash is of what was sent: what it names may have changed or gone since.
        """
        try:
            return await self._resolver.resolve(request.tenant_id, body, request.body), None
        except (errors.InvalidArgument, errors.NotFound, errors.Aborted) as error:
            if not request.request_id:
                raise
            return Resolved(request.body), error

    async def _refusal(self, tenant_id: str) -> errors.ServiceError | None:
        """Why a new run of the tenant would fail at its first model call, as far as its budget tells."""
        try:
            if self._budgets is not None:
                await self._budgets.require(tenant_id)
        except errors.ResourceExhausted as error:
            return error
        return None

    async def get(self, tenant_id: str, run_id: str, *, wait_s: float = 0.0) -> Run:
        """One run; with `wait_s`, when it has ended or that time has passed. Raises NotFound."""
        known = ids.parse(run_id)
        run = await self._runs.get(tenant_id, known) if known else None
        if known is None or run is None:
            raise errors.NotFound("no such run", reason="RUN_NOT_FOUND")
        if run.state.ended or wait_s <= 0:
            return run
        await self._watchers.ended(tenant_id, known, timeout_s=wait_s)
        return await self._runs.get(tenant_id, known) or run

    async def output(self, tenant_id: str, run_id: str, step: str) -> Sequence[bytes]:
        """A finished step's output, JSON, in pieces. Raises NotFound (RUN_NOT_FOUND, STEP_NOT_FOUND)."""
        known = ids.parse(run_id)
        pieces = await self._logs.output(tenant_id, known, step) if known else None
        if pieces is None:
            raise errors.NotFound("no such run", reason="RUN_NOT_FOUND")
        if not pieces:
            raise errors.NotFound(f"the run has no finished step {step!r}", reason="STEP_NOT_FOUND")
        return pieces

    async def list(
        self, tenant_id: str, wanted: RunFilter, *, before: str | None, limit: int
    ) -> tuple[Sequence[Run], str | None]:
        """A page of runs, newest first and without outputs, and where the next one begins."""
        found = await self._runs.list(tenant_id, wanted, before=before, limit=limit + 1)
        page = found[:limit]
        return page, page[-1].run_id if len(found) > limit else None

    async def cancel(self, tenant_id: str, run_id: str) -> Run:
        """Ask a run to end. A queued one has ended when this returns. Raises NotFound, FailedPrecondition, Aborted."""
        for _ in range(ATTEMPTS):
            run = await self.get(tenant_id, run_id)
            if run.state.ended:
                raise errors.FailedPrecondition(f"the run has {run.state.value}", reason="RUN_ENDED")
            if run.state is RunState.RUNNING:
                if await self._runs.request_cancel(tenant_id, run.run_id):
                    self._cancel_local([run.run_id])
                    self._hints.cancel(run.run_id)
                    return run
            elif await self._end_queued(run, RunState.CANCELLED, None):
                return await self.get(tenant_id, run_id)
        raise errors.Aborted("the run changes too fast; try again")

    async def fail_overdue(self, tenant_id: str, run_id: str) -> None:
        """End a queued run whose deadline has passed; one that was claimed meanwhile is its owner's."""
        run = await self.get(tenant_id, run_id)
        if run.state is RunState.QUEUED:
            text = "the run waited in the queue until its deadline; submit it again when fewer runs wait"
            await self._end_queued(run, RunState.FAILED, Failure(FailureCode.DEADLINE, text))

    async def _end_queued(self, run: Run, state: RunState, failure: Failure | None) -> bool:
        """Write a queued run's last events. Nothing of it is open: who hands a run back closes everything."""
        fence = await self._runs.fence(run.run_id)
        if fence is None:
            return False
        steps = await self._logs.steps(run.run_id) if run.attempt else {}
        usage = sum((step.usage for step in steps.values()), Usage())
        final = (
            events.run_error(failure.code.value, failure.message)
            if failure
            else cancelled_event(run.session_id, run.run_id, usage)
        )
        last = (events.custom("headrace.usage", usage.to_json()), final)
        chunk = Chunk(run.run_id, run.last_seq + 1, tuple(map(orjson.dumps, last)), final=True)
        done = await self._runs.end_queued(
            chunk, fence=fence, state=state, failure=failure, usage=orjson.dumps(usage.to_json())
        )
        if done:
            metrics.ENDED.labels(state.value).inc()
            self._watchers.committed(chunk)
            self._hints.events([run.run_id])
        return done


def _session(request: SubmitRequest) -> str:
    """The session that a request names, else a new id. Raises NotFound."""
    if not request.session_id:
        return ids.new()
    known = ids.parse(request.session_id)
    if known is None:
        raise errors.NotFound("no such session", reason="SESSION_NOT_FOUND")
    return known


def _digest(request: SubmitRequest) -> bytes:
    """What makes two requests the same."""
    digest = hashlib.blake2b(request.body, digest_size=16)
    digest.update(f"\n{request.kind.value} {request.priority or 0:d} {request.session_id or request.thread_id}".encode())
    return digest.digest()
