"""Accepts runs. Submissions that arrive together share a transaction; the next batch leaves when the last has returned."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import orjson
from headrace_runtime import errors

from headrace_executor import events, metrics, policy
from headrace_executor.errors import StoreRefused
from headrace_executor.model import ClaimedRun
from headrace_executor.policy import Fleet, QueueLimits
from headrace_executor.runs import ids
from headrace_executor.runs.feeds import Hub
from headrace_executor.runs.records import Chunk, Claim, Preflight, Submission
from headrace_executor.runs.session_counts import SessionCounts
from headrace_executor.runs.stores import Hints, SubmissionStore

MAX_BATCH = 64
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Runs, and bytes of bodies, in one transaction."""
MAX_WAITING = 2_048
"""Submissions of this process that may wait for their transaction; more are refused."""
THREAD_ATTEMPTS = 5
"""How often a run is stored whose thread others open or delete at the same moment."""


class Places(Protocol):
    """The worker's slots, as far as a submission may take one at once."""

    def reserve(self, wanted: int) -> int:
        """Set free slots aside."""

    def release(self, count: int) -> None:
        """Give them back."""

    def adopt(self, claim: Claim, *, owner: str) -> None:
        """Work on a run that is ours from its first moment."""

    def wake(self) -> None:
        """Look at the queue now."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission."""

    run_id: str
    created: bool
    """False when an earlier request with the same id made the run."""
    created_at: datetime | None = None
    claimed: bool = False
    session_id: str = ""
    """Of a run that was made."""


@dataclass(slots=True)
class _Waiting:
    submission: Submission
    done: asyncio.Future[Accepted]
    refusal: errors.ServiceError | None = None
    """Raised instead of making a new run."""
    collisions: int = 0
    """How often its thread was opened or deleted by others while it was stored alone."""

    def answer(self, accepted: Accepted) -> None:
        """Tell the caller, if it is still there."""
        if not self.done.done():
            self.done.set_result(accepted)

    def fail(self, error: Exception) -> None:
        """Tell the caller, if it is still there."""
        if not self.done.done():
            self.done.set_exception(error)


class Submitter:
    """One per process."""

    def __init__(
        self,
        store: SubmissionStore,
        places: Places,
        hub: Hub,
        hints: Hints,
        *,
        owner: "Owner",
        limits: QueueLimits,
        fleet: "FleetView",
        sessions: SessionCounts,
        deadline_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._places = places
        self._hub = hub
        self._hints = hints
        self._owner = owner
        self._limits = limits
        self._fleet = fleet
        self._sessions = sessions
        self._deadline_s = deadline_s
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()

    async def submit(self, submission: Submission, *, refusal: errors.ServiceError | None = None) -> Accepted:
        """Make a run durable, or find the one that an equal request made; with `refusal` no new one is made.

        With a thread's name the run's session is the one that has it, and is opened with the run when there is none.
        Raises NotFound (session), FailedPrecondition (the request id was used for another request), ResourceExhausted
        (the queue is full, TOO_MANY_SESSIONS), Aborted (the thread), `refusal` and `StoreAway`.
        """
        if len(self._queue) >= MAX_WAITING:
            metrics.REFUSED.labels("submitting").inc()
            raise errors.ResourceExhausted("too many submissions at once", reason="SUBMITTING", retry_after_s=1.0)
        waiting = _Waiting(submission, asyncio.get_running_loop().create_future(), refusal)
        self._queue.append(waiting)
        self._arrived.set()
        return await waiting.done

    async def run(self) -> None:
        """Store batches until cancelled."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(0)
            batch = self._next()
            if not batch:
                self._arrived.clear()
                continue
            try:
                await self._store_batch(batch)
            except Exception as error:  # noqa: BLE001 - each caller gets it, and the border decides
                for waiting in batch:
                    waiting.fail(error)

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            waiting = self._queue.popleft()
            if not waiting.done.done():  # its caller has gone
                batch.append(waiting)
                size += len(waiting.submission.body)
        return batch

    async def _store_batch(self, batch: list[_Waiting]) -> None:
        known = await self._preflight([waiting.submission for waiting in batch])
        free = max((p.queued for p in known), default=0) == 0
        fresh = self._admit(batch, known)
        if not fresh:
            return
        places = self._places.reserve(len(fresh)) if free else 0
        owners = [self._owner.executor_id if place < places else None for place in range(len(fresh))]
        try:
            made = await self._store.accept([w.submission for w in fresh], owners=owners, deadline_s=self._deadline_s)
        except StoreRefused:
            self._places.release(places)
            await self._each(fresh, alone=len(batch) == 1)
            return
        except BaseException:
            self._places.release(places)
            raise
        again = self._settle(fresh, owners, made, places)
        if again:  # an equal request was first, a moment ago: this time the preflight sees it
            await self._store_batch(again)

    async def _each(self, batch: Sequence[_Waiting], *, alone: bool) -> None:
        """The database refuses one, as its session has just gone or its thread come: find it by storing each alone."""
        if alone:
            waiting = batch[0]
            waiting.collisions += 1
            if waiting.submission.thread_id and waiting.collisions < THREAD_ATTEMPTS:
                await self._store_batch([waiting])
                return
            if waiting.submission.thread_id:
                raise errors.Aborted("the thread is opened and deleted by others at the same moment; try again")
            raise errors.NotFound("no such session", reason="SESSION_NOT_FOUND")
        for waiting in batch:
            try:
                await self._store_batch([waiting])
            except (errors.ServiceError, StoreRefused) as error:
                waiting.fail(error)

    def _admit(self, batch: Sequence[_Waiting], known: Sequence[Preflight]) -> list[_Waiting]:
        """Answer those that need no new run, and return the others."""
        fresh: list[_Waiting] = []
        of_tenant: dict[str, int] = {}
        opening = _Opening()
        for waiting, facts in zip(batch, known, strict=True):
            ahead = of_tenant.get(waiting.submission.tenant_id, 0)
            waiting.submission = opening.place(waiting.submission, facts)
            try:
                accepted = self._judge(waiting.submission, facts, batch_ahead=len(fresh), tenant_ahead=ahead)
                if accepted is None and waiting.refusal is not None:
                    raise waiting.refusal
                if accepted is None:
                    self._require_room(waiting.submission, opening)
            except errors.ServiceError as error:
                metrics.REFUSED.labels(error.reason).inc()
                waiting.fail(error)
                continue
            if accepted is not None:
                waiting.answer(accepted)
                continue
            fresh.append(waiting)
            opening.add(waiting.submission)
            of_tenant[waiting.submission.tenant_id] = ahead + 1
        return fresh

    def _judge(self, submission: Submission, facts: Preflight, *, batch_ahead: int, tenant_ahead: int) -> Accepted | None:
        if facts.existing_run:
            if facts.existing_hash != submission.request_hash:
                text = f"the request id {submission.request_id!r} was used for another request"
                raise errors.FailedPrecondition(text, reason="IDEMPOTENCY_KEY_REUSED")
            return Accepted(facts.existing_run, created=False)
        if not submission.new_session and not submission.thread_id and facts.session_id is None:
            raise errors.NotFound("no such session", reason="SESSION_NOT_FOUND")
        refusal = policy.admit(
            queued=facts.queued + batch_ahead,
            queued_of_tenant=facts.queued_of_tenant + tenant_ahead,
            limits=self._limits,
            fleet=self._fleet.fleet(),
        )
        if refusal is not None:
            raise errors.ResourceExhausted(refusal.message, reason="QUEUE_FULL", retry_after_s=refusal.retry_after_s)
        return None

    def _require_room(self, submission: Submission, opening: "_Opening") -> None:
        """Whether the tenant may have the session that this opens. Raises ResourceExhausted."""
        tenant_id = submission.tenant_id
        if submission.new_session and self._sessions.room(tenant_id) <= opening.of_tenant.get(tenant_id, 0):
            raise too_many_sessions(self._sessions.limit)

    async def _preflight(self, submissions: Sequence[Submission]) -> Sequence[Preflight]:
        """What the store knows of each; now and then that is how many sessions their tenants have."""
        now_s = self._clock()
        may_open = {s.tenant_id: place for place, s in enumerate(submissions) if s.new_session or s.thread_id}
        count = frozenset(place for tenant, place in may_open.items() if self._sessions.due(tenant, now_s=now_s))
        known = await self._store.preflight(submissions, count=count, count_to=self._sessions.limit)
        for submission, facts in zip(submissions, known, strict=True):
            if facts.sessions_of_tenant is not None:
                self._sessions.counted(submission.tenant_id, facts.sessions_of_tenant, now_s=now_s)
        return known

    def _settle(
        self,
        fresh: Sequence[_Waiting],
        owners: Sequence[str | None],
        made: Mapping[str, datetime],
        places: int,
    ) -> list[_Waiting]:
        """Answer those whose runs were made, start those that are ours, and return the others."""
        again: list[_Waiting] = []
        unused = places
        for waiting, owner in zip(fresh, owners, strict=True):
            created_at = made.get(waiting.submission.run_id)
            if created_at is None:
                again.append(waiting)
                continue
            self._made(waiting.submission, created_at)
            if waiting.submission.new_session:
                self._sessions.opened(waiting.submission.tenant_id)
            if owner is not None:
                unused -= 1
                self._places.adopt(_claim(waiting.submission, created_at, self._deadline_s), owner=owner)
            session_id = waiting.submission.session_id
            waiting.answer(Accepted(waiting.submission.run_id, True, created_at, owner is not None, session_id))
        self._places.release(unused)
        if len(made) > places - unused:
            self._places.wake()
            self._hints.queued()
        return again

    def _made(self, submission: Submission, created_at: datetime) -> None:
        metrics.SUBMITTED.labels(submission.kind.value, submission.priority.name.lower()).inc()
        feed = self._hub.open(submission.run_id, submission.tenant_id)
        feed.add(Chunk(submission.run_id, 1, (submission.started,)))


class _Opening:
    """The sessions that a batch opens."""

    def __init__(self) -> None:
        self.of_tenant: dict[str, int] = {}
        """How many."""
        self._of_thread: dict[tuple[str, str], str] = {}

    def place(self, submission: Submission, facts: Preflight) -> Submission:
        """The submission with its thread's session: the one that there is, that is opened before it, or a new one."""
        if not submission.thread_id:
            return submission
        known = facts.session_id or self._of_thread.get((submission.tenant_id, submission.thread_id))
        session_id = known or ids.new()
        started = orjson.dumps(events.run_started(session_id, submission.run_id))
        return replace(submission, session_id=session_id, new_session=known is None, started=started)

    def add(self, submission: Submission) -> None:
        """Take note of one that will be stored."""
        if submission.new_session:
            self.of_tenant[submission.tenant_id] = self.of_tenant.get(submission.tenant_id, 0) + 1
            if submission.thread_id:
                self._of_thread[submission.tenant_id, submission.thread_id] = submission.session_id


class Owner(Protocol):
    """Under which id this process owns runs."""

    executor_id: str


class FleetView(Protocol):
    """What works the queue off, as far as this process knows."""

    def fleet(self) -> Fleet:
        """A recent count."""


def too_many_sessions(limit: int) -> errors.ResourceExhausted:
    """A tenant may have no other session."""
    text = f"there are {limit} sessions already, as many as max_sessions_per_tenant allows; delete some or use one of them"
    return errors.ResourceExhausted(text, reason="TOO_MANY_SESSIONS")


def _claim(submission: Submission, created_at: datetime, deadline_s: float) -> Claim:
    return Claim(
        ClaimedRun(
            run_id=submission.run_id,
            tenant_id=submission.tenant_id,
            session_id=submission.session_id,
            kind=submission.kind,
            priority=submission.priority,
            attempt=1,
            fence=1,
            created_at=created_at,
            deadline=datetime.now(UTC) + timedelta(seconds=deadline_s),
            body=orjson.loads(submission.body),
            traceparent=submission.traceparent,
        )
    )
