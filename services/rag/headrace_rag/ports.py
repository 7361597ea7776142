"""What the rag service needs from outside, as protocols. Adapters implement them; tests fake them."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from headrace_llm.client import ChatRequest, Completion
from headrace_llm.registry import Registry

from headrace_rag.job import Job
from headrace_rag.model import Document, Found, Keywords, Mark, Mode, Passage, Source, Space


class Models(Protocol):
    """The part of `headrace_llm.client.ModelClient` that is used here."""

    @property
    def registry(self) -> Registry:
        """The models that can be asked."""

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask for a whole answer."""


class Index(Protocol):
    """What was learnt from the documents, by workspace. It trusts its caller to be a workspace's only writer.

    Raises `errors.StoreAway`, and `errors.IndexFailed` for failures of its own.
    """

    async def add(self, space: Space, source: Source, job: Job) -> int:
        """Read a document, whatever an earlier try left of it, and return the number of its chunks.

        Raises the error that ended `job` when it ended early. What it left behind then is removed by `clear`.
        """

    async def remove(self, space: Space, document_id: str, job: Job) -> None:
        """Remove a document and what was learnt from it alone. One that is not there is removed already."""

    async def clear(self, space: Space) -> None:
        """Remove documents that were not read to their end. What the model answered is kept for another try."""

    async def nearest(self, space: Space, query: str, *, limit: int) -> Sequence[Passage]:
        """The passages nearest to a query, by their vectors alone."""

    async def related(self, space: Space, query: str, keywords: Keywords, *, mode: Mode, limit: int) -> Found | None:
        """Passages, entities and relations by a graph mode, untitled; None for a query that is too short for one."""


class Documents(Protocol):
    """The documents as callers see them. Raises `errors.StoreAway`."""

    async def get(self, space: Space, document_id: str) -> Document | None:
        """A document, None when there is none."""

    async def announce(self, space: Space, source: Source) -> None:
        """Note, where it is new, that a document waits to be read, and that its workspace exists."""

    async def start(self, space: Space, source: Source) -> None:
        """Note that a document is being read: PROCESSING, with this title and digest, and not found by searches."""

    async def hide(self, space: Space, document_id: str) -> None:
        """Keep a document from searches while it is removed: PROCESSING."""

    async def finish(self, space: Space, document_id: str, *, chunks: int) -> None:
        """Note that a document is READY."""

    async def fail(self, space: Space, document_id: str, *, error: str) -> None:
        """Note that reading a document FAILED."""

    async def give_up_waiting(self, space: Space, document_id: str, *, error: str) -> None:
        """Note that a document that waited, and still does, FAILED."""

    async def fail_interrupted(self, space: Space) -> None:
        """Note that whatever is PROCESSING has FAILED. Its writer must be dead: the caller holds the workspace."""

    async def remove(self, space: Space, document_id: str) -> None:
        """Forget a document."""

    async def count(self, space: Space) -> int | None:
        """How many documents a workspace has; None when it was never written."""

    async def page(self, space: Space, *, after: Mark | None, limit: int) -> Sequence[Document]:
        """Documents, the newest first, behind `after`."""

    async def titles(self, space: Space, document_ids: Sequence[str]) -> Mapping[str, str]:
        """The titles of those documents that are READY."""


class WriterLock(Protocol):
    """One writer per workspace, whatever the processes."""

    def hold(self, space: Space, *, wait_s: float) -> AbstractAsyncContextManager[asyncio.Event]:
        """Hold a workspace for the block, which gets an event that is set if the lock is lost meanwhile.

        Raises `errors.WorkspaceBusy` after `wait_s` seconds, and `errors.StoreAway`.
        """
