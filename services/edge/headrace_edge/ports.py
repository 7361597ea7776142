"""What the edge needs from other services, as protocols. Adapters implement them. All raise `ServiceError`."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from headrace_edge.model import (
    Document,
    Found,
    Listing,
    Message,
    Run,
    RunRecord,
    Session,
    Skill,
    Submission,
    UsageQuery,
    UsageReport,
)
from headrace_edge.openai.model import AnswerItem, Question
from headrace_edge.quota.model import Models, Quota


class Event(Protocol):
    """One event of a run."""

    @property
    def seq(self) -> int:
        """1, 2, 3 … within the run."""

    @property
    def data(self) -> bytes:
        """One AG-UI event, JSON on one line."""


class Runs(Protocol):
    """The executor's runs, of one tenant at a time."""

    async def submit(self, submission: Submission) -> Run:
        """Take a run on; repeated while the executor is away, under the same request id."""

    async def start(self, submission: Submission) -> tuple[Run, AsyncGenerator[Sequence[Event], None]]:
        """Take a run on and watch it from its first event, in one call that is made once.

        The events' generator raises as `watch` does.
        """

    async def get(self, tenant: str, run_id: str, *, wait_s: int = 0) -> RunRecord:
        """Read a run, waiting up to `wait_s` for its end."""

    async def list(self, tenant: str, *, session_id: str, status: str, kind: str, cursor: str, limit: int) -> Listing[Run]:
        """Read runs, newest first; empty filters filter nothing."""

    def watch(self, tenant: str, run_id: str, *, after: int) -> AsyncGenerator[Sequence[Event], None]:
        """Committed events after a sequence number, as they come, until the run's last.

        Raises Unavailable when the stream broke, DeadlineExceeded when it is time to renew it.
        """

    async def cancel(self, tenant: str, run_id: str) -> Run:
        """Ask a run to end."""

    async def signals(self) -> Quota:
        """The queue and the gates now."""


class Sessions(Protocol):
    """The executor's conversations."""

    async def create(self, tenant: str, *, title: str, metadata: bytes) -> Session:
        """Begin one."""

    async def get(self, tenant: str, session_id: str) -> Session:
        """Read one."""

    async def list(self, tenant: str, *, cursor: str, limit: int) -> Listing[Session]:
        """Read them, newest first."""

    async def delete(self, tenant: str, session_id: str) -> None:
        """Remove one with its messages."""

    async def messages(self, tenant: str, session_id: str, *, cursor: str, limit: int) -> Listing[Message]:
        """Read its messages, oldest first."""


class Catalog(Protocol):
    """What runs may use."""

    async def models(self) -> Models:
        """The models."""

    async def tools(self, tenant: str) -> list[Skill]:
        """The tools."""


class Chats(Protocol):
    """Models asked directly, past nothing but the gate, the cache and the fallbacks."""

    def ask(self, question: Question) -> AsyncGenerator[AnswerItem, None]:
        """An answer in pieces; the last item is an Answered. Closing it aborts the call."""


class Usage(Protocol):
    """What a tenant's model calls cost."""

    async def report(self, tenant: str, query: UsageQuery) -> UsageReport:
        """Add them up; the total is of all rows, those beyond the limit included."""


class Documents(Protocol):
    """The rag service's documents."""

    async def require_workspace(self, tenant: str, workspace: str) -> None:
        """Raise NotFound unless the workspace was ever written."""

    async def search(self, tenant: str, *, query: str, workspace: str, mode: str, top_k: int) -> Found:
        """Find passages."""

    async def get(self, tenant: str, *, workspace: str, document_id: str) -> Document:
        """Read a document's state."""

    async def list(self, tenant: str, *, workspace: str, cursor: str, limit: int) -> Listing[Document]:
        """Read documents' states."""

    async def delete(self, tenant: str, *, workspace: str, document_id: str) -> None:
        """Remove a document and what was learnt from it."""
