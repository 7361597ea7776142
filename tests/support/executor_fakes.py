"""Fakes of the executor's ports. Deterministic: time passes only as turns of the event loop, drawn from a seed."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from headrace_blueprint import expressions
from headrace_executor import events
from headrace_executor.errors import LeaseLost, PageMoved
from headrace_executor.model import ClaimedRun, Priority, RunKind, StepRecord
from headrace_executor.ports import (
    Found,
    PageDraft,
    PageRef,
    Passage,
    Patched,
    Planned,
    Routed,
    SavedWorkflow,
    StoredPage,
    Turn,
)
from headrace_executor.runs.openings import Openings
from headrace_llm.client import ChatRequest, Completion
from headrace_llm.usage import ModelUsage, Usage

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAID = Usage({"fake": ModelUsage(llm_calls=1, prompt_tokens=10, completion_tokens=5)})


def claimed(
    body: Mapping[str, Any], *, kind: RunKind = RunKind.CONVERSATION, attempt: int = 1, **changes: Any
) -> ClaimedRun:
    """A run whose deadline is far away, on any clock."""
    run = ClaimedRun(
        run_id="r1",
        tenant_id="t1",
        session_id="s1",
        kind=kind,
        priority=Priority.INTERACTIVE,
        attempt=attempt,
        fence=attempt,
        created_at=NOW,
        deadline=NOW + timedelta(days=36_500),
        body=body,
    )
    return replace(run, **changes)


@dataclass
class Turns:
    """Virtual delays: each wait is a number of the loop's turns."""

    seed: int | None = None
    most: int = 6

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def wait(self) -> None:
        """Let others go first, as often as the seed says."""
        if self.seed is not None:
            for _ in range(self._random.randint(0, self.most)):
                await asyncio.sleep(0)


async def no_sleep(_: float) -> None:
    """Back off for no time."""
    await asyncio.sleep(0)


@dataclass
class Log:
    """What a run's owners have committed."""

    events: list[Mapping[str, Any]] = field(default_factory=list)
    steps: dict[str, StepRecord] = field(default_factory=dict)
    done_at: dict[str, int] = field(default_factory=dict)
    """How many events there were when each step was recorded."""


class FakeJournal:
    """A journal whose flush is the next checkpoint, and whose owner dies at the finished step of number `crash_at`.

    A step that was only recorded goes with the next checkpoint, or is lost with its owner.
    """

    def __init__(
        self,
        run: ClaimedRun,
        *,
        log: Log | None = None,
        turns: Turns | None = None,
        crash_at: int | None = None,
        crash_commits: bool = False,
    ) -> None:
        self.run = run
        self.log = log or Log()
        self.steps = dict(self.log.steps)
        self.checkpoints = 0
        self._turns = turns or Turns()
        self._crash_at = crash_at
        self._crash_commits = crash_commits
        self._dead = False
        self.lost_usage = Usage()
        self._unstored: dict[str, tuple[StepRecord, int]] = {}
        openings = Openings()
        for event in self.log.events:
            openings.see(event)
        self._pending: list[Mapping[str, Any]] = openings.interrupt(run.run_id)
        if not self.log.events:
            self._pending.append(events.run_started(run.session_id, run.run_id))

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """Everything that was written so far, committed or not."""
        return [*self.log.events, *self._pending]

    def emit(self, *new: Mapping[str, Any]) -> None:
        self._owned()
        for event in new:
            orjson.dumps(event)
            self._pending.append(event)

    def delta(self, message_id: str, text: str) -> None:
        self.emit(events.text_content(message_id, text))

    async def drained(self) -> None:
        self._owned()

    async def checkpoint(self, step: str, output: Any, *, usage: Usage, events: Sequence[Mapping[str, Any]] = ()) -> None:
        self._note(step, output, usage, events)
        await self._turns.wait()
        self._owned()
        self._maybe_crash()
        self.flush()

    def spent(self, usage: Usage) -> None:
        self.lost_usage += usage

    def record(self, step: str, output: Any, *, usage: Usage, events: Sequence[Mapping[str, Any]] = ()) -> None:
        self._owned()
        self._note(step, output, usage, events)
        self._maybe_crash()

    def _note(self, step: str, output: Any, usage: Usage, events: Sequence[Mapping[str, Any]]) -> None:
        assert step not in {**self.log.steps, **self._unstored}, f"{step} was done twice"
        self.emit(*events)
        done_at = len(self.log.events) + len(self._pending)
        self.steps[step] = StepRecord(orjson.loads(orjson.dumps(output)), usage)
        self._unstored[step] = (self.steps[step], done_at)

    def _maybe_crash(self) -> None:
        self.checkpoints += 1
        if self.checkpoints == self._crash_at:
            if self._crash_commits:
                self.flush()
            self._dead = True
            raise LeaseLost

    def flush(self) -> None:
        """Store what was emitted and recorded, as the next flush would."""
        self.log.events += self._pending
        self._pending = []
        for step, (record, done_at) in self._unstored.items():
            self.log.steps[step] = record
            self.log.done_at[step] = done_at
        self._unstored = {}

    def finish(self, last: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Close what is open, end the run and return its events."""
        openings = Openings()
        for event in self.events:
            openings.see(event)
        self.flush()
        self.log.events = [*self.log.events, *openings.close(), last]
        self._pending = []
        return self.log.events

    def _owned(self) -> None:
        if self._dead:
            raise LeaseLost


def answer(prompt: str) -> str:
    """What the fake model says to a prompt."""
    return f"m{hashlib.sha256(prompt.encode()).hexdigest()[:8]}"


@dataclass
class FakeModels:
    """Answers with `say(prompt)` in pieces. `failures` are raised first, one per call, after `pieces_before` pieces."""

    say: Callable[[str], str] = answer
    turns: Turns = field(default_factory=Turns)
    failures: list[Exception] = field(default_factory=list)
    pieces_before: int = 0
    piece: int = 3
    requests: list[ChatRequest] = field(default_factory=list)
    aborted: int = 0

    async def complete(self, request: ChatRequest) -> Completion:
        self.requests.append(request)
        await self.turns.wait()
        if self.failures:
            request.on_cost(getattr(self.failures[0], "usage", Usage()))
            raise self.failures.pop(0)
        request.on_cost(PAID)
        return Completion(self.say(request.messages[-1].content), "fake", PAID)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        self.requests.append(request)
        failure = self.failures.pop(0) if self.failures else None
        text = self.say(request.messages[-1].content)
        pieces = [text[at : at + self.piece] for at in range(0, len(text), self.piece)]
        try:
            for number, piece in enumerate(pieces):
                await self.turns.wait()
                if failure is not None and number == min(self.pieces_before, len(pieces) - 1):
                    raise failure
                yield piece
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted += 1
            raise
        request.on_cost(PAID)
        yield Completion(text, "fake", PAID)

    def prompts(self) -> Counter[str]:
        """How often each prompt was asked."""
        return Counter(request.messages[0].content for request in self.requests)


@dataclass
class FakeRag:
    """Finds two passages that name the query."""

    turns: Turns = field(default_factory=Turns)
    failures: list[Exception] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    workspaces: list[str] = field(default_factory=list)
    document: Mapping[str, Any] = field(default_factory=lambda: {"document_id": "d1", "status": "ready"})

    async def search(self, run: ClaimedRun, *, query: str, workspace: str, mode: str, top_k: int) -> Found:
        await self.turns.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.queries.append(query)
        self.workspaces.append(workspace)
        chunks = [Passage(f"d{n}", f"Title {n}", f"about {query}", 0.9 - n / 10) for n in range(2)]
        return Found(tuple(chunks[:top_k]), (), (), Usage())

    async def ingest(
        self, run: ClaimedRun, *, document_id: str, title: str, text: str, workspace: str
    ) -> tuple[Any, Usage]:
        await self.turns.wait()
        if self.failures:
            raise self.failures.pop(0)
        return {**self.document, "document_id": document_id, "title": title}, PAID


@dataclass
class FakeRouter:
    """Answers with one intent."""

    intent: str = "chat"
    failures: list[Exception] = field(default_factory=list)
    calls: list[Mapping[str, Any]] = field(default_factory=list)

    async def route(self, run: ClaimedRun, **asked: Any) -> Routed:
        self.calls.append(asked)
        if self.failures:
            raise self.failures.pop(0)
        return Routed(asked["mode"] if asked["mode"] not in ("", "auto") else self.intent, 0.75, "embedding", PAID)


@dataclass
class FakePlanner:
    """Answers with one blueprint, and to a change with `patched`."""

    blueprint: Any
    failures: list[Exception] = field(default_factory=list)
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    patched: Patched | None = None
    changes: list[Mapping[str, Any]] = field(default_factory=list)

    async def patch(self, run: ClaimedRun, **asked: Any) -> Patched:
        self.changes.append(asked)
        if self.failures:
            raise self.failures.pop(0)
        assert self.patched is not None
        return self.patched

    async def plan(self, run: ClaimedRun, **asked: Any) -> Planned:
        self.calls.append(asked)
        if self.failures:
            raise self.failures.pop(0)
        return Planned(self.blueprint, "builtin", ("a warning",), PAID)


@dataclass
class FakeSessions:
    """Remembers these turns."""

    turns: Sequence[Turn] = ()
    failures: list[Exception] = field(default_factory=list)

    async def history(self, run: ClaimedRun, *, limit: int) -> Sequence[Turn]:
        if self.failures:
            raise self.failures.pop(0)
        return self.turns[-limit:]


@dataclass
class FakeCel:
    """Evaluates in this process and remembers what it was asked."""

    asked: list[str] = field(default_factory=list)

    async def evaluate(self, expression: str, scope: Mapping[str, Any]) -> Any:
        self.asked.append(expression)
        return expressions.evaluate(expressions.compile_expression(expression), scope)


@dataclass
class FakePages:
    """Keeps pages of one tenant in memory."""

    drafts: list[PageDraft] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    versions: dict[str, list[StoredPage]] = field(default_factory=dict)
    by_run: dict[str, PageRef] = field(default_factory=dict)

    async def save(self, run: ClaimedRun, draft: PageDraft) -> PageRef:
        if self.failures:
            raise self.failures.pop(0)
        if run.run_id not in self.by_run:
            page_id = draft.parent.page_id if draft.parent else f"p{len(self.versions) + 1}"
            kept = self.versions.setdefault(page_id, [])
            parent = draft.parent.version if draft.parent else 0
            if parent != len(kept):
                raise PageMoved(len(kept))
            self.by_run[run.run_id] = PageRef(page_id, len(kept) + 1, parent)
            kept.append(StoredPage(self.by_run[run.run_id], draft))
            self.drafts.append(draft)
        return self.by_run[run.run_id]

    async def load(self, run: ClaimedRun, page_id: str, version: int = 0) -> StoredPage | None:
        if self.failures:
            raise self.failures.pop(0)
        return self.versions[page_id][version - 1] if page_id in self.versions else None

    async def newest(self, run: ClaimedRun) -> StoredPage | None:
        return list(self.versions.values())[-1][-1] if self.versions else None


@dataclass
class FakeWorkflows:
    """The tenant's saved blueprints by id, all of the same revision."""

    blueprints: dict[str, Any] = field(default_factory=dict)
    revision: int = 1
    asked: list[str] = field(default_factory=list)

    async def get(self, tenant_id: str, workflow_id: str) -> SavedWorkflow | None:
        self.asked.append(workflow_id)
        known = self.blueprints.get(workflow_id)
        return None if known is None else SavedWorkflow(workflow_id, self.revision, known)
