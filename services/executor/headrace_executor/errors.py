"""What can go wrong with a run.

LeaseLost       another executor owns the run; whatever this one still does is refused
RunFailed       the run cannot succeed; its `failure` is what RUN_ERROR says
StoreAway       Postgres does not answer, or asks to try again; to a caller it is UNAVAILABLE
StoreRefused    Postgres refuses a statement: trying again will not help
"""

from headrace_runtime.errors import Unavailable

from headrace_executor.model import Failure, FailureCode


class LeaseLost(Exception):
    """The run's fencing token is no longer ours."""


class RunFailed(Exception):
    """The run ends FAILED."""

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


class StoreAway(Unavailable):
    """The database does not answer in time, or had to break off what it did."""

    default_reason = "STORE_AWAY"

    def __init__(self, message: str = "the database does not answer") -> None:
        super().__init__(message, retry_after_s=1.0)


class StoreRefused(Exception):
    """The database refuses what was asked of it; the message has its reason."""
