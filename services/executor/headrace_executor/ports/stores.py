"""What is kept between runs: sessions, memories, questions, workflows, pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headrace_llm.usage import Usage

from headrace_executor.model import ClaimedRun, Json
from headrace_executor.ports.services import Turn


class Sessions(Protocol):
    """The conversation that a run belongs to."""

    async def history(self, run: ClaimedRun, *, limit: int) -> Sequence[Turn]:
        """The session's newest messages before this run, oldest first."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory of the run's session that has to do with the request."""

    key: str
    text: str
    score: float
    """Cosine similarity, -1 to 1."""


class Memories(Protocol):
    """What the run's session remembers."""

    async def recall(self, run: ClaimedRun, query: str, *, top_k: int) -> Sequence[Recalled]:
        """The memories nearest to what a query means, the nearest first. Raises `ServiceError`, `StoreRefused`."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A run of the same session that asked back."""

    body: Mapping[str, Json]
    interrupts: Sequence[Json]


class Interruptions(Protocol):
    """Runs that ended by asking back."""

    async def load(self, run: ClaimedRun, run_id: str) -> Interrupted | None:
        """What a run of the same session asked, None when it asked nothing."""


@dataclass(frozen=True, slots=True)
class SavedWorkflow:
    """A workflow as a run takes it."""

    workflow_id: str
    revision: int
    blueprint: Json


class Workflows(Protocol):
    """The tenant's saved workflows."""

    async def get(self, tenant_id: str, workflow_id: str) -> SavedWorkflow | None:
        """One workflow, None when there is none."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Where an optional node, or one item of a map, has failed for good."""

    step: str
    """node:ID, node:ID[3] or node:FLOW/ID."""
    code: str
    """A FailureCode."""
    message: str

    @property
    def node(self) -> str:
        """The node of the page's own blueprint that it is in."""
        return self.step.removeprefix("node:").partition("[")[0].partition("/")[0]

    def error(self) -> Mapping[str, Json]:
        """What went wrong, without where."""
        return {"code": self.code, "message": self.message}

    def to_json(self) -> Mapping[str, Json]:
        """As results and stored pages have it."""
        return {"step": self.step, **self.error()}


@dataclass(frozen=True, slots=True)
class PageDraft:
    """What a run made of a blueprint with a layout."""

    blueprint: Json
    inputs: Json
    outputs: Mapping[str, Json]
    """By node: the checkpoints that a patch starts from. A skipped or failed node's is None."""
    gaps: Sequence[Gap]
    sources: Sequence[Json]
    usage: Usage
    parent: "PageRef | None" = None
    instruction: str = ""
    """The sentence that changed the parent."""


@dataclass(frozen=True, slots=True)
class PageRef:
    """A version of a page."""

    page_id: str
    version: int
    parent_version: int = field(default=0, compare=False)
    """The version that it was made from, 0 for none."""


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A version of a page, with all that a patch needs."""

    ref: PageRef
    draft: PageDraft


class Pages(Protocol):
    """The tenant's pages."""

    async def save(self, run: ClaimedRun, draft: PageDraft) -> PageRef:
        """Store what a run made: version 1 of a new page, or a new version of the parent's page, which becomes current.

        A run makes at most one version: a second call answers with the first one's. Raises `errors.LeaseLost`,
        `errors.PageMoved` when the parent is not the page's current version, and `errors.RunFailed` when the page has no
        room for another version.
        """

    async def load(self, run: ClaimedRun, page_id: str, version: int = 0) -> StoredPage | None:
        """A version of a page of the run's tenant, the current one for 0; None when there is none."""

    async def newest(self, run: ClaimedRun) -> StoredPage | None:
        """The page that the run's session made or changed last."""
