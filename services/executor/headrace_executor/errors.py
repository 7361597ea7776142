"""What can go wrong with a run.

LeaseLost       another executor owns the run; whatever this one still does is refused
RunFailed       the run cannot succeed; its `failure` is what RUN_ERROR says
PageMoved       the page has another current version than the one that was changed
StoreAway       Postgres does not answer, or asks to try again; to a caller it is UNAVAILABLE
StoreRefused    Postgres refuses a statement: trying again will not help
"""

from headrace_postgres.errors import StoreAway, StoreRefused

from headrace_executor.model import Failure, FailureCode

__all__ = ["LeaseLost", "PageMoved", "RunFailed", "StoreAway", "StoreRefused"]


class LeaseLost(Exception):
    """The run's fencing token is no longer ours."""


class PageMoved(Exception):
    """A version was not stored: the page's current one is not its parent."""

    def __init__(self, current: int) -> None:
        super().__init__(f"version {current} is the current one")
        self.current = current


class RunFailed(Exception):
    """The run ends FAILED."""

    def __init__(self, code: FailureCode, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.failure = Failure(code, message, retry_after_s)
