"""The rag service's ports in memory, for tests of what is decided above them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from headrace_rag.errors import WorkspaceBusy
from headrace_rag.job import Job
from headrace_rag.model import Document, Found, Keywords, Mark, Mode, Passage, Source, Space, State

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class MemoryDocuments:
    """Implements `ports.Documents`."""

    rows: dict[tuple[Space, str], Document] = field(default_factory=dict)
    spaces: set[Space] = field(default_factory=set)

    async def get(self, space: Space, document_id: str) -> Document | None:
        return self.rows.get((space, document_id))

    async def announce(self, space: Space, source: Source) -> None:
        self.spaces.add(space)
        now = EPOCH + timedelta(seconds=len(self.rows))
        fresh = Document(
            source.document_id,
            space.workspace,
            source.title,
            State.PENDING,
            "",
            len(source.text),
            0,
            source.digest,
            now,
            now,
        )
        self.rows.setdefault((space, source.document_id), fresh)

    async def start(self, space: Space, source: Source) -> None:
        self._change(space, source.document_id, state=State.PROCESSING, title=source.title, digest=source.digest, error="")

    async def hide(self, space: Space, document_id: str) -> None:
        self._change(space, document_id, state=State.PROCESSING)

    async def finish(self, space: Space, document_id: str, *, chunks: int) -> None:
        self._change(space, document_id, state=State.READY, chunks=chunks)

    async def fail(self, space: Space, document_id: str, *, error: str) -> None:
        self._change(space, document_id, state=State.FAILED, error=error)

    async def give_up_waiting(self, space: Space, document_id: str, *, error: str) -> None:
        if self.rows[space, document_id].state is State.PENDING:
            self._change(space, document_id, state=State.FAILED, error=error)

    async def fail_interrupted(self, space: Space) -> None:
        for (owner, document_id), row in tuple(self.rows.items()):
            if owner == space and row.state is State.PROCESSING:
                self._change(space, document_id, state=State.FAILED, error="interrupted")

    async def remove(self, space: Space, document_id: str) -> None:
        del self.rows[space, document_id]

    async def count(self, space: Space) -> int | None:
        return sum(owner == space for owner, _ in self.rows) if space in self.spaces else None

    async def page(self, space: Space, *, after: Mark | None, limit: int) -> Sequence[Document]:
        mine = [row for (owner, _), row in self.rows.items() if owner == space]
        mine.sort(key=lambda row: (row.created_at, row.document_id), reverse=True)
        edge = (after.created_at, after.document_id) if after else None
        return [row for row in mine if edge is None or (row.created_at, row.document_id) < edge][:limit]

    async def titles(self, space: Space, document_ids: Sequence[str]) -> Mapping[str, str]:
        rows = (self.rows.get((space, name)) for name in document_ids)
        return {row.document_id: row.title for row in rows if row and row.state is State.READY}

    def _change(self, space: Space, document_id: str, **fields: object) -> None:
        self.rows[space, document_id] = replace(self.rows[space, document_id], **fields)  # type: ignore[arg-type]


@dataclass
class MemoryIndex:
    """Implements `ports.Index`: the text is its only chunk. `gate` holds `add` back, `error` ends it."""

    texts: dict[tuple[Space, str], str] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    error: Exception | None = None
    adding: set[Space] = field(default_factory=set)
    adds: int = 0
    clears: int = 0
    graph: Found | None = None
    keywords: list[Keywords] = field(default_factory=list)

    async def add(self, space: Space, source: Source, job: Job) -> int:
        assert space not in self.adding, "two writers in one workspace"
        self.adding.add(space)
        self.adds += 1
        try:
            await self._held(job)
            job.remaining_s()
            if self.error is not None:
                raise self.error
        finally:
            self.adding.discard(space)
        self.texts[space, source.document_id] = source.text
        return 1

    async def remove(self, space: Space, document_id: str, job: Job) -> None:
        self.texts.pop((space, document_id), None)

    async def clear(self, space: Space) -> None:
        self.clears += 1

    async def nearest(self, space: Space, query: str, *, limit: int) -> Sequence[Passage]:
        mine = [(name, text) for (owner, name), text in self.texts.items() if owner == space and query in text]
        return [Passage(name, text, 0.5, name) for name, text in mine[:limit]]

    async def related(self, space: Space, query: str, keywords: Keywords, *, mode: Mode, limit: int) -> Found | None:
        self.keywords.append(keywords)
        return self.graph

    async def _held(self, job: Job) -> None:
        if self.gate is None:
            return
        waits = [asyncio.create_task(event.wait()) for event in (self.gate, job.stopped)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


@dataclass
class MemoryLock:
    """Implements `ports.WriterLock`; `elsewhere` are spaces that another process holds."""

    elsewhere: set[Space] = field(default_factory=set)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    held: list[Space] = field(default_factory=list)

    @asynccontextmanager
    async def hold(self, space: Space, *, wait_s: float) -> AsyncIterator[asyncio.Event]:
        if space in self.elsewhere:
            raise WorkspaceBusy(2.0)
        assert space not in self.held
        self.held.append(space)
        try:
            yield self.lost
        finally:
            self.held.remove(space)
