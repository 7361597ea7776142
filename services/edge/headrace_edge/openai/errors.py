"""Problems as OpenAI's clients read them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_edge.policy import Fault, Problem

PREFIX = "/v1/"
"""Paths whose errors have OpenAI's form."""
MAX_SAID = 5
"""Faults that a message lists."""

INVALID, RATE, QUOTA, SERVER = "invalid_request_error", "rate_limit_error", "insufficient_quota", "server_error"


@dataclass(frozen=True, slots=True)
class OpenAiError:
    """One error."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    worth_repeating: bool = True
    """False tells a client that would repeat such a status by itself not to."""

    def document(self) -> dict[str, Any]:
        """The JSON object."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


_BY_REASON: Mapping[str, tuple[int, str, str]] = {
    "UNAUTHENTICATED": (401, INVALID, "invalid_api_key"),
    "SCOPE_MISSING": (403, INVALID, "insufficient_permissions"),
    "UNKNOWN_MODEL": (404, INVALID, "model_not_found"),
    "PROVIDER_REJECTED": (400, INVALID, "provider_rejected"),
    "PROVIDER_AUTH": (502, SERVER, "provider_auth"),
    "INVALID_ANSWER": (502, SERVER, "invalid_answer"),
    "RUN_CANCELLED": (409, INVALID, "run_cancelled"),
    "MODEL_RESTARTED": (502, SERVER, "model_restarted"),
}
_SPENT = frozenset({"BUDGET_SPENT", "RUN_BUDGET"})
"""Reasons that last until midnight, UTC."""
_HOPELESS = frozenset({"PROVIDER_AUTH"})
"""Reasons that last until somebody changes the configuration."""


def error_of(problem: Problem) -> OpenAiError:
    """What a client of OpenAI's is told of a problem."""
    status, kind, code = _class(problem)
    said = [f"{_param(fault)}: {fault.msg}" for fault in problem.faults[:MAX_SAID]]
    return OpenAiError(
        status,
        kind,
        code,
        "; ".join(said) or problem.detail,
        "model" if code == "model_not_found" else (_param(problem.faults[0]) if problem.faults else None),
        kind != QUOTA and problem.reason not in _HOPELESS,
    )


def _class(problem: Problem) -> tuple[int, str, str]:
    """Status, type and code."""
    code = problem.reason.lower()
    if problem.reason in _BY_REASON:
        return _BY_REASON[problem.reason]
    if problem.status == 429:
        return (429, QUOTA, QUOTA) if problem.reason in _SPENT else (429, RATE, "rate_limit_exceeded")
    if problem.status >= 500:
        return problem.status, SERVER, code
    return (400 if problem.status in (409, 422) else problem.status), INVALID, code


def _param(fault: Fault) -> str:
    """Where, as OpenAI writes it: messages[0].content."""
    parts = fault.loc[1:] or fault.loc
    if len(parts) == 1 and str(parts[0]).startswith("/"):
        parts = tuple(str(parts[0])[1:].split("/"))
    path = "".join(f"[{part}]" if str(part).isdigit() else f".{part}" for part in parts)
    return path.removeprefix(".")
