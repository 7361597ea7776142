"""Takes runs and direct calls on or refuses them at the edge: signals in, problems and metrics out; `desk` decides."""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from headrace_runtime import errors

from headrace_edge import metrics
from headrace_edge.model import QueuePlace, Submission
from headrace_edge.openai.model import AnswerItem, Question
from headrace_edge.policy import Problem, Refused
from headrace_edge.quota.desk import Decision, Desk, DeskLimits, Outcome
from headrace_edge.quota.forecast import Demand, Forecast
from headrace_edge.quota.model import Promises, Quota
from headrace_edge.quota.promises import Claim
from headrace_edge.quota.signals import Signals, Snapshot

Answers = AsyncGenerator[AnswerItem, None]

TWINS = 4
"""Promises for equal requests without an Idempotency-Key: they may be several callers'."""
REMEMBERED_KEYS = 10_000
"""Accepted Idempotency-Keys whose repetition is not refused; of more the oldest are forgotten."""
DEFAULT_PRIORITY = "standard"
LEAST_WAIT_S = 0.1
"""A shorter wait is not told."""


class RunAdmission:
    """One edge's admission of runs."""

    def __init__(self, signals: Signals, limits: DeskLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._signals = signals
        self._limits = limits
        self._desk = Desk(limits)
        self._clock = clock
        self._accepted: OrderedDict[tuple[str, str], None] = OrderedDict()

    @asynccontextmanager
    async def place(self, submission: Submission) -> AsyncIterator[QueuePlace | None]:
        """A place for a run that is submitted inside; None when it need not wait. Raises Refused (429, 503).

        When the submission fails, what was promised to it stays promised.
        """
        key = (submission.tenant, submission.request_id)
        if key in self._accepted:
            yield None
            return
        decision = await self._admit(
            claim_of(submission), submission.kind, submission.priority or DEFAULT_PRIORITY, submission.model
        )
        try:
            yield _place(decision.forecast)
        except errors.ServiceError:
            self._desk.undo(decision, now=self._clock())
            raise
        if submission.keyed:
            self._remember(key)

    async def chat(self, question: Question, ask: Callable[[Question], Answers]) -> Answers:
        """Ask a model directly if the call is admitted; raises Refused (429, 503) before anything is asked."""
        decision = await self._admit(
            claim_of_chat(question), "chat", question.priority, question.model, timeout_s=question.timeout_s
        )
        return self._answers(decision, ask(question))

    async def _answers(self, decision: Decision, items: Answers) -> Answers:
        try:
            async with aclosing(items):
                async for item in items:
                    yield item
        except errors.ServiceError:
            self._desk.undo(decision, now=self._clock())
            raise

    def told(self, quota: Quota) -> Quota:
        """The quota with this edge's promises."""
        now = self._clock()
        promises = Promises(open=len(self._desk.book), next_s=self._desk.book.next_s(now))
        return quota.model_copy(update={"promises": promises})

    async def _admit(
        self, claim: Claim, kind: str, priority: str, model: str, *, timeout_s: float | None = None
    ) -> Decision:
        seen = await self._signals.current()
        decision = self._desk.decide(
            seen.quota if seen else None,
            Demand(kind, priority, _models(seen, model), timeout_s),
            claim,
            counted_at=seen.asked_at if seen else 0.0,
            now=self._clock(),
        )
        metrics.ADMISSIONS.labels(decision.outcome).inc()
        metrics.PROMISES.set(len(self._desk.book))
        if not decision.accepted:
            raise Refused(self._problem(decision, priority, "run" if timeout_s is None else "call"))
        return decision

    def _remember(self, key: tuple[str, str]) -> None:
        self._accepted[key] = None
        if len(self._accepted) > REMEMBERED_KEYS:
            self._accepted.popitem(last=False)

    def _problem(self, decision: Decision, priority: str, what: str) -> Problem:
        metrics.REFUSED.labels("quota").inc()
        seen = decision.forecast
        assert seen is not None
        retry_s = decision.retry_after_s
        if seen.breaker_open:
            reason, status = "MODEL_FAILING", 503
            detail = f"the model {seen.model} keeps failing and is left alone for a while"
        else:
            reason, status = "LIMIT_QUOTA", 429 if decision.promise is not None else 503
            who = f"{priority} ones" if what == "run" else "with its deadline it"
            patience_s = math.floor(decision.patience_s)
            detail = (
                f"the model {seen.model} grants {seen.rpm:.3g} calls a minute and {seen.calls_ahead:.0f} calls are ahead: "
                f"this {what} would wait {math.ceil(seen.wait_s)} s, and {who} may wait {patience_s} s"
            )
        if decision.promise is not None:
            grace_s = self._limits.book.grace_s
            detail += (
                f"; a place is kept from {retry_s} s to {retry_s + grace_s:.0f} s from now for the same request, "
                "known by its Idempotency-Key or else its body"
            )
        elif decision.outcome is Outcome.OVERFLOW:
            detail += "; too many were promised a place already, so none is kept for this request"
        extra = {
            "promised": decision.promise is not None,
            "queue": {"position": seen.position, "expected_wait_s": round(seen.expected_wait_s, 1)},
        }
        return Problem(status, reason, detail, retry_after_s=retry_s, extra=extra)


def claim_of(submission: Submission) -> Claim:
    """By what a refused request is known when it returns."""
    if submission.keyed:
        return Claim(submission.tenant, f"key {submission.request_id}")
    digest = hashlib.blake2b(submission.body, digest_size=16)
    digest.update(f"\n{submission.kind} {submission.priority} {submission.session_id}".encode())
    return Claim(submission.tenant, f"body {digest.hexdigest()}", most=TWINS)


def claim_of_chat(question: Question) -> Claim:
    """The same for a direct call, which has no key."""
    digest = hashlib.blake2b(question.body, digest_size=16)
    digest.update(f"\n{question.model} {question.priority}".encode())
    return Claim(question.tenant, f"chat {digest.hexdigest()}", most=TWINS)


def _models(seen: Snapshot | None, wanted: str) -> Sequence[str]:
    """The model that a run asks first and its fallbacks."""
    if seen is None:
        return ()
    first = wanted or seen.quota.default_model
    return seen.chains.get(first, (first,))


def _place(seen: Forecast | None) -> QueuePlace | None:
    if seen is None or seen.expected_wait_s < LEAST_WAIT_S:
        return None
    return QueuePlace(position=seen.position, expected_wait_s=round(seen.expected_wait_s, 1))
