"""The edge's decisions: which problem an error is, which errors are worth another try, how long to back off. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from headrace_runtime import errors

from headrace_edge.model import Failure, ModelUsage


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong part of a request."""

    loc: tuple[str | int, ...]
    """Where: body, query, path or header, then names and indexes; a service's own path comes as one part."""
    msg: str


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as RFC 9457 shows it."""

    status: int
    reason: str
    """UPPER_SNAKE_CASE; the last part of the problem's `type`."""
    detail: str
    faults: tuple[Fault, ...] = ()
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further members, such as run_id and links."""

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase


class Refused(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


_STATUS: Mapping[type[errors.ServiceError], int] = {
    errors.InvalidArgument: 422,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.FailedPrecondition: 409,
    errors.OutOfRange: 400,
    errors.Unauthenticated: 502,
    errors.PermissionDenied: 403,
    errors.ResourceExhausted: 429,
    errors.Aborted: 409,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.DataLoss: 410,
    errors.InternalError: 500,
}
_REASON_STATUS: Mapping[str, int] = {"IDEMPOTENCY_KEY_REUSED": 422}
DEFAULT_RETRY_AFTER_S = 2
"""What 429 and 503 say when nobody knows better."""

DAY_S = 86_400

INTERNAL_DETAIL = "internal error; the service's log has the request id"


def problem_of(error: errors.ServiceError) -> Problem:
    """Map what a service answered to what the client is told."""
    status = _REASON_STATUS.get(error.reason) or _STATUS.get(type(error), 500)
    detail = INTERNAL_DETAIL if status == 500 else error.message
    faults = tuple(Fault(("body", v.field) if v.field.startswith("/") else (v.field,), v.message) for v in error.violations)
    return Problem(status, error.reason, detail, faults, retry_after(status, error.retry_after_s))


def retry_after(status: int, seconds: float | None) -> int | None:
    """Whole seconds for Retry-After: always for 429 and 503, elsewhere only when somebody said when."""
    if seconds is None:
        return DEFAULT_RETRY_AFTER_S if status in (429, 503) else None
    return max(1, math.ceil(seconds))


_FAILURE_STATUS: Mapping[str, tuple[int, str]] = {
    "deadline": (504, "RUN_DEADLINE"),
    "provider": (502, "RUN_PROVIDER"),
    "quota": (503, "RUN_QUOTA"),
    "budget": (429, "RUN_BUDGET"),
    "invalid_blueprint": (422, "RUN_INVALID_BLUEPRINT"),
    "conflict": (409, "RUN_CONFLICT"),
}


def problem_of_failure(failure: Failure, *, now_s: float) -> Problem:
    """Map a failed run's error. `now_s` is since 1970."""
    status, reason = _FAILURE_STATUS.get(failure.code, (500, "RUN_INTERNAL"))
    return Problem(
        status, reason, failure.message, retry_after_s=retry_after(status, failure_lasts_s(failure, now_s=now_s))
    )


def failure_lasts_s(failure: Failure, *, now_s: float) -> float | None:
    """How long another run would fail likewise, None when nobody knows. A budget is spent until midnight, UTC, at most."""
    if failure.retry_after_s is None and failure.code == "budget":
        return DAY_S - now_s % DAY_S
    return failure.retry_after_s


def problem_of_status(status: int, detail: str, headers: Mapping[str, str]) -> Problem:
    """A plain HTTP refusal, such as the framework's 404 and 405."""
    reason = HTTPStatus(status).name
    return Problem(status, reason, detail, retry_after_s=retry_after(status, None), headers=headers)


def of_run(problem: Problem, run_id: str) -> Problem:
    """The same problem, naming the run and where to find it."""
    return replace(problem, extra={"run_id": run_id, "links": links(run_id)})


def links(run_id: str) -> dict[str, str]:
    """Where a run can be read, followed and cancelled."""
    own = f"/api/tasks/{run_id}"
    return {"self": own, "events": f"{own}/events", "cancel": own}


def reply_of(output: Mapping[str, Any]) -> str:
    """A conversation's reply: its text, else the questions that it asks back."""
    asked = output.get("interrupts") or ()
    return str(output.get("reply") or "") or "\n\n".join(str(one.get("message") or "") for one in asked)


def total(usages: Iterable[ModelUsage]) -> ModelUsage:
    """All together; one unknown cost makes the sum unknown."""
    known = list(usages)
    costs = [one.cost_usd for one in known if one.cost_usd is not None]
    return ModelUsage(
        llm_calls=sum(one.llm_calls for one in known),
        cached_calls=sum(one.cached_calls for one in known),
        prompt_tokens=sum(one.prompt_tokens for one in known),
        completion_tokens=sum(one.completion_tokens for one in known),
        cost_usd=math.fsum(costs) if len(costs) == len(known) else None,
    )


def rewatch_delay_s(attempt: int, *, jitter: float) -> float:
    """Seconds before picking a broken event stream up again; `attempt` from 0, `jitter` in [0, 1)."""
    return float(min(2.0, 0.05 * 2 ** min(attempt, 10))) * (0.5 + jitter / 2)


def parse_after(header: str | None, query: str | None) -> int | None:
    """The sequence number to resume after: Last-Event-ID, else ?after=, else 0; None when it is not an integer ≥ 0."""
    text = header or query or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    return int(text)


def valid_idempotency_key(key: str) -> bool:
    """Whether a client's Idempotency-Key is 1 to 128 visible ASCII characters."""
    return 1 <= len(key) <= 128 and all("!" <= letter <= "~" for letter in key)
