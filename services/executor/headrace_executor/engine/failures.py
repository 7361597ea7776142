"""What a run fails with when a service or a model fails for good. Pure: errors in, `RunFailed` out."""

from headrace_llm.errors import BudgetSpent
from headrace_runtime import errors
from headrace_tools.errors import ToolFailed

from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode

_PROVIDER = "PROVIDER_"
"""How the reasons of a model provider's own failures begin."""


def from_service(error: errors.ServiceError, *, part: str, invalid: FailureCode = FailureCode.INTERNAL) -> RunFailed:
    """Say what a run fails with when `part` answered with `error` for the last time.

    `part` is a noun phrase such as "the router". `invalid` is the code when it refused the request as wrong.
    """
    said = error.message.rstrip(".")
    name = part[:1].upper() + part[1:]
    match error:
        case errors.ResourceExhausted():
            when = f"in {max(1, round(error.retry_after_s))} s" if error.retry_after_s is not None else "later"
            code = FailureCode.BUDGET if error.reason == BudgetSpent.default_reason else FailureCode.QUOTA
            text = f"{name} has no quota left: {said}. Submit the run again {when}."
            return RunFailed(code, text, retry_after_s=error.retry_after_s)
        case errors.DeadlineExceeded():
            return RunFailed(
                FailureCode.DEADLINE, f"{name} did not answer in time: {said}. Submit the run again, or a smaller one."
            )
        case errors.ServiceError() if error.reason.startswith(_PROVIDER):
            text = f"The model's provider failed: {said}."
            return RunFailed(FailureCode.PROVIDER, text, retry_after_s=error.retry_after_s)
        case errors.Unavailable() | errors.Aborted():
            text = f"{name} is not available: {said}. Check that it runs and submit the run again."
            return RunFailed(FailureCode.INTERNAL, text)
        case errors.InvalidArgument() | errors.FailedPrecondition() | errors.NotFound() | errors.OutOfRange():
            places = "; ".join(f"{violation.field}: {violation.message}" for violation in error.violations)
            return RunFailed(invalid, f"{name} refused the request: {said}{f' ({places})' if places else ''}.")
        case _:
            return RunFailed(FailureCode.INTERNAL, f"{name} failed ({error.code.name}); its log has this run's request id.")


def at_node(failure: RunFailed, node: str) -> RunFailed:
    """The same failure, naming the node that it happened at."""
    why = failure.failure
    return RunFailed(why.code, f"Node {node!r}: {why.message}", retry_after_s=why.retry_after_s)


def asked_pause_s(failure: RunFailed) -> float:
    """Seconds for which a tool has asked to be left alone, 0 when it has not: no attempt is made before."""
    cause = failure.__cause__
    return (cause.retry_after_s or 0.0) if isinstance(cause, ToolFailed) else 0.0
