"""How the rag service fails. Every error that a caller sees is one of these, or the model library's.

ServiceError (headrace_runtime.errors)
├── Unavailable
│   ├── StoreAway          Postgres does not answer, or had to break off what it did
│   ├── LeaseLost          the writer's connection, and with it its lock, is gone
│   └── Draining           the process ends; another one will take the call
├── Aborted
│   └── WorkspaceBusy      another writer did not end before the caller's deadline
├── ResourceExhausted
│   └── TooManyWriters     more documents wait in this process than may
└── InternalError
    ├── StoreRefused       Postgres refuses a statement: trying again will not help
    └── IndexFailed        LightRAG failed on its own
"""

import headrace_postgres.errors
from headrace_postgres.errors import StoreAway
from headrace_runtime import errors

__all__ = [
    "Draining",
    "IndexFailed",
    "LeaseLost",
    "StoreAway",
    "StoreRefused",
    "TooManyWriters",
    "WorkspaceBusy",
]


class LeaseLost(errors.Unavailable):
    """The lock on the workspace was lost while writing."""

    default_reason = "WRITER_LOCK_LOST"

    def __init__(self) -> None:
        super().__init__("the lock on the workspace was lost; nothing was kept", retry_after_s=1.0)


class Draining(errors.Unavailable):
    """The process ends."""

    default_reason = "DRAINING"

    def __init__(self) -> None:
        super().__init__("the service is shutting down", retry_after_s=1.0)


class WorkspaceBusy(errors.Aborted):
    """Another writer has the workspace."""

    default_reason = "WORKSPACE_BUSY"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("another document of this workspace is being written", retry_after_s=retry_after_s)


class TooManyWriters(errors.ResourceExhausted):
    """Too many documents wait to be written."""

    default_reason = "TOO_MANY_WRITERS"

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} documents wait to be written already", retry_after_s=5.0)


class StoreRefused(headrace_postgres.errors.StoreRefused, errors.InternalError):
    """The database refuses what was asked of it."""

    default_reason = "STORE_REFUSED"


class IndexFailed(errors.InternalError):
    """LightRAG could not read or remove a document, for a reason of its own."""

    default_reason = "INDEX_FAILED"
