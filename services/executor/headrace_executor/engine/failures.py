"""What a run fails with when a service, a model or a node fails for good. Pure: errors in, `RunFailed` out."""

from collections.abc import Iterator

from headrace_llm.errors import BudgetSpent
from headrace_runtime import errors
from headrace_tools.errors import ToolFailed

from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode

MAX_GAP_CHARACTERS = 500
"""Longest message of a gap."""
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


class RunOver(RunFailed):
    """A limit of the whole run is reached: no retry and no `on_error` gets past it."""

    def __init__(self, code: FailureCode, message: str, *, names_node: bool = False) -> None:
        super().__init__(code, message)
        self.names_node = names_node


class NodeFailed(RunFailed):
    """A failure that names its node already."""


def at_node(failure: RunFailed, path: str) -> RunFailed:
    """The same failure, naming the node that it happened at; the innermost of nodes inside each other stays."""
    why = failure.failure
    if isinstance(failure, NodeFailed) or (isinstance(failure, RunOver) and failure.names_node):
        return failure
    if isinstance(failure, RunOver):
        return RunOver(why.code, f"Node {path!r}: {why.message}", names_node=True)
    return NodeFailed(why.code, f"Node {path!r}: {why.message}", retry_after_s=why.retry_after_s)


def not_repeated(failure: RunFailed, *, budget: int) -> RunFailed:
    """The same failure, which would have been tried again if the run had retries left."""
    why = failure.failure
    text = f"{why.message} It was not tried again: the run's retries, {budget} in all nodes (retry_budget), are spent."
    return type(failure)(why.code, text, retry_after_s=why.retry_after_s)


def late() -> RunOver:
    """The run's own deadline has come, whatever node was under way."""
    return RunOver(FailureCode.DEADLINE, "the run was not done by its deadline; submit a smaller one", names_node=True)


def may_pass(failure: RunFailed, *, asked: bool) -> bool:
    """Whether another attempt at a node may succeed. Unless a policy asked for more, only what was away is tried again."""
    if isinstance(failure, RunOver) or failure.failure.code is FailureCode.INVALID_BLUEPRINT:
        return False
    causes = list(_causes(failure))
    if any(isinstance(cause, errors.FailedPrecondition) for cause in causes):
        return False
    if any(isinstance(cause, ToolFailed) and not cause.passes for cause in causes):
        return False
    return asked or any(isinstance(cause, errors.Unavailable) for cause in causes)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    cause = failure.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def asked_pause_s(failure: RunFailed) -> float:
    """Seconds for which a tool has asked to be left alone, 0 when it has not: no attempt is made before."""
    cause = failure.__cause__
    return (cause.retry_after_s or 0.0) if isinstance(cause, ToolFailed) else 0.0
