"""What goes wrong with Postgres, in two kinds.

StoreAway       Postgres does not answer, or asks to try again; to a caller it is UNAVAILABLE
StoreRefused    Postgres refuses a statement: trying again will not help
"""

from headrace_runtime.errors import Unavailable


class StoreAway(Unavailable):
    """The database does not answer in time, or had to break off what it did."""

    default_reason = "STORE_AWAY"

    def __init__(self, message: str = "the database does not answer") -> None:
        super().__init__(message, retry_after_s=1.0)


class StoreRefused(Exception):
    """The database refuses what was asked of it; the message has its reason.

    A service whose callers are told extends it with a `ServiceError`, and gives that to its pools.
    """
