"""What the edge needs from other services, as protocols. Adapters implement them. All raise `ServiceError`."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from headrace_edge.memories.model import Memory, MemoryContent, MemoryMatches
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
)
from headrace_edge.openai.model import AnswerItem, Question
from headrace_edge.pages.model import Page, PageVersion
from headrace_edge.quota.model import Models, Quota
from headrace_edge.usage import UsageQuery, UsageReport
from headrace_edge.workflows.model import Validity, Workflow, WorkflowEntry


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

    def output(self, tenant: str, run_id: str, step: str) -> AsyncGenerator[bytes, None]:
        """One finished step's output, JSON, whole, in pieces."""

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


class Memories(Protocol):
    """What the executor's conversations remember. Each raises NotFound (SESSION_NOT_FOUND)."""

    async def put(
        self, tenant: str, session_id: str, key: str, content: MemoryContent, *, expected_revision: int | None
    ) -> tuple[Memory, bool]:
        """Make or replace one, and say whether it was made; revision 0 is a new one's, None any.

        Raises AlreadyExists, Aborted (MEMORY_CHANGED).
        """

    async def get(self, tenant: str, session_id: str, key: str) -> Memory:
        """Read one. Raises NotFound (MEMORY_NOT_FOUND)."""

    async def list(self, tenant: str, session_id: str, *, cursor: str, limit: int) -> Listing[Memory]:
        """Read them, in the order of their keys."""

    async def delete(self, tenant: str, session_id: str, key: str, *, expected_revision: int | None) -> None:
        """Remove one. Raises NotFound (MEMORY_NOT_FOUND), Aborted (MEMORY_CHANGED)."""

    async def search(self, tenant: str, session_id: str, *, query: str, top_k: int) -> MemoryMatches:
        """Find those nearest to a query. Raises Unavailable (EMBEDDINGS_AWAY)."""


class Catalog(Protocol):
    """What runs may use."""

    async def models(self) -> Models:
        """The models."""

    async def tools(self, tenant: str) -> list[Skill]:
        """The tools."""


class Workflows(Protocol):
    """The executor's saved blueprints."""

    async def put(
        self, tenant: str, workflow_id: str, *, blueprint: bytes, description: str, expected_revision: int | None
    ) -> tuple[Workflow, bool]:
        """Make or replace one, and say whether it was made; revision 0 is a new one's, None any.

        Raises AlreadyExists, Aborted (WORKFLOW_CHANGED), InvalidArgument with every fault.
        """

    async def get(self, tenant: str, workflow_id: str) -> Workflow:
        """Read one."""

    async def list(self, tenant: str, *, cursor: str, limit: int) -> Listing[WorkflowEntry]:
        """Read them, in the order of their ids."""

    async def delete(self, tenant: str, workflow_id: str, *, expected_revision: int | None) -> None:
        """Remove one. Raises Aborted (WORKFLOW_CHANGED)."""

    async def validate(self, tenant: str, *, blueprint: bytes, inputs: bytes, workflow_id: str) -> Validity:
        """Find every fault of a blueprint and, unless they are b"", its inputs."""

    async def schema(self, tenant: str) -> bytes:
        """The language's JSON Schema, with the tenant's tools; without any for ""."""


class Pages(Protocol):
    """The executor's pages."""

    async def get(self, tenant: str, page_id: str, *, version: int) -> Page:
        """Read one version, the current one for 0."""

    async def list(self, tenant: str, *, session_id: str, cursor: str, limit: int) -> Listing[PageVersion]:
        """Read the current versions, the newest page first; an empty session filters nothing."""

    def output(self, tenant: str, page_id: str, version: int, step: str) -> AsyncGenerator[bytes, None]:
        """One value of a version, JSON, whole, in pieces."""

    async def versions(self, tenant: str, page_id: str) -> Sequence[PageVersion]:
        """Read all versions of one, oldest first."""

    async def restore(self, tenant: str, page_id: str, *, version: int, expected_version: int) -> Page:
        """Make an earlier version the current one: the one before for 0. Raises Aborted (PAGE_CHANGED)."""

    async def delete(self, tenant: str, page_id: str) -> None:
        """Remove one with all its versions."""


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
