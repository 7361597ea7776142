"""What the run's logic needs from outside, as protocols. Adapters implement them; tests fake them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headrace_blueprint.tools import Tool
from headrace_llm.client import ChatRequest, Completion, Restarted, Wait
from headrace_llm.usage import Usage

from headrace_executor.model import ClaimedRun, Json, Outcome, StepRecord

Event = Mapping[str, Json]
"""One AG-UI event in its JSON form, as `events` makes them."""


class Journal(Protocol):
    """A claimed run's log, as its owner writes it.

    Events get their sequence numbers in the order of the calls. They are durable and visible to watchers after the next
    flush; `checkpoint` waits for that flush. The journal knows what is open (messages, tool calls, steps): what an earlier
    owner left open it closes before its first event, and what is open at the end it closes before the run's last event.

    Every method raises `errors.LeaseLost` once another executor owns the run.
    """

    @property
    def run(self) -> ClaimedRun:
        """The run that it is the log of."""

    @property
    def steps(self) -> Mapping[str, StepRecord]:
        """Finished steps by name, those of earlier owners included."""

    def emit(self, *events: Event) -> None:
        """Append events; returns at once."""

    def delta(self, message_id: str, text: str) -> None:
        """Append to an open text message. Neighbouring deltas of one message become one event if they meet within 25 ms."""

    def record(self, step: str, output: Json, *, usage: Usage, events: Sequence[Event] = ()) -> None:
        """Record a step as finished, in one transaction with `events` and all that was emitted before; return at once.

        For a step that cost nothing and changed nothing outside: if this process dies before the flush, the next owner
        does the step again and nobody has seen the first result.
        """

    async def checkpoint(self, step: str, output: Json, *, usage: Usage, events: Sequence[Event] = ()) -> None:
        """Record a step as finished and wait until that is stored: what was paid for is never paid again."""

    def spent(self, usage: Usage) -> None:
        """Count what a step has cost that will not finish: it belongs to the run's usage all the same."""

    async def drained(self) -> None:
        """Wait until the buffer has room again; returns at once when it has. A stream awaits it after each `delta`.

        Who never does runs into the buffer's hard limit: `emit` and `delta` then raise `errors.RunFailed`.
        """


class Pipeline(Protocol):
    """Takes a claimed run to its end."""

    async def run(self, journal: Journal) -> Outcome:
        """Do what is left of the run.

        Raises `errors.RunFailed` when it cannot succeed. On cancellation it stops what it started and lets
        CancelledError pass. The caller writes RUN_STARTED, usage and the end.
        """


@dataclass(frozen=True, slots=True)
class Routed:
    """The router's answer."""

    intent: str
    """chat, qa, build, quiz or patch."""
    confidence: float
    decided_by: str
    """rules, embedding or model."""
    usage: Usage


@dataclass(frozen=True, slots=True)
class Planned:
    """The planner's answer."""

    blueprint: Json
    origin: str
    """builtin, model, repaired or template."""
    warnings: tuple[str, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot of a page as the planner is shown it."""

    slot: str
    title: str
    node: str
    preview: str
    """The beginning of its value."""


@dataclass(frozen=True, slots=True)
class Patched:
    """The planner's answer to a sentence that changes a page."""

    blueprint: Json
    inputs: Json
    nodes: tuple[str, ...]
    """To run again."""
    rewritten: tuple[str, ...]
    """Slots whose earlier text is shown to the model that writes them anew."""
    origin: str
    """model, repaired, template or builtin."""
    warnings: tuple[str, ...]
    usage: Usage
    unclear: str = ""
    """Why nobody could tell what the sentence concerns; then only `usage` says anything beside it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of the session."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A record that a name in a request stands for."""

    kind: str
    """What it is, such as class: a name that an expression can write."""
    id: Json
    """A string or a number."""
    name: str
    """As its connector writes it."""
    text: str
    """As the request writes it."""


class Router(Protocol):
    """The router service."""

    async def route(
        self, run: ClaimedRun, *, message: str, mode: str, has_blueprint: bool, history: Sequence[Turn]
    ) -> Routed:
        """Decide the intent of a message. `mode` is "" or "auto" for automatic."""


class Planner(Protocol):
    """The planner service."""

    async def plan(
        self,
        run: ClaimedRun,
        *,
        intent: str,
        message: str,
        workspace: str,
        model: str,
        tools: Sequence[str],
        sources: Sequence[str],
        history: Sequence[Turn],
        tool_specs: Sequence[Tool] = (),
        entities: Sequence[Entity] = (),
        recalled: bool = False,
    ) -> Planned:
        """Make a valid blueprint for an intent. With `recalled` a chat's or a question's reads `${inputs.memories}`.

        `tools` are the names that the request gives; `tool_specs` are those that the plan may call beside the built-in
        ones. It may read `entities` as `${inputs.entities.KIND.id}` and `.name`, those of a kind as `KIND_all`.
        """

    async def patch(
        self,
        run: ClaimedRun,
        *,
        blueprint: Json,
        inputs: Json,
        instruction: str,
        slots: Sequence[SlotView],
        model: str,
        tools: Sequence[Tool],
    ) -> Patched:
        """Map a sentence to what of a page changes. `tools` are those beside the built-in ones.

        Raises FailedPrecondition when the sentence concerns no slot.
        """


@dataclass(frozen=True, slots=True)
class Passage:
    """One found chunk, with what a citation needs."""

    document_id: str
    title: str
    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """The rag service's answer to a search. Entities and relations are JSON objects as docs/api.md shapes them."""

    chunks: tuple[Passage, ...]
    entities: tuple[Json, ...]
    relations: tuple[Json, ...]
    usage: Usage


class Rag(Protocol):
    """The rag service."""

    async def search(self, run: ClaimedRun, *, query: str, workspace: str, mode: str, top_k: int) -> Found:
        """Find passages of the tenant's workspace; an unknown workspace finds nothing."""

    async def ingest(
        self, run: ClaimedRun, *, document_id: str, title: str, text: str, workspace: str
    ) -> tuple[Json, Usage]:
        """Read a document into a workspace and return it in docs/api.md's shape."""


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


class Models(Protocol):
    """The part of `headrace_llm.client.ModelClient` that a run uses."""

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask for a whole answer."""

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        """Ask for an answer in pieces of text; the last item is the Completion."""


class Waits(Protocol):
    """The part of `headrace_llm.ports.Waits` that a run uses."""

    async def of_run(self, run_id: str) -> Wait | None:
        """Where a call that another service makes for a run stands at the gate now; None when none waits."""


class ChatLedger(Protocol):
    """Hears what chats cost, which belong to no run."""

    def record(self, tenant_id: str, usage: Usage) -> None:
        """Note what an attempt at a chat has cost, however it ended. Returns at once."""


class Cel(Protocol):
    """Evaluates expressions away from the event loop."""

    async def evaluate(self, expression: str, scope: Mapping[str, Json]) -> Json:
        """The JSON value of a CEL expression over the names of `scope`.

        Raises `errors.RunFailed` when it has none, or takes longer than it may.
        """


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


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A run of the same session that asked back."""

    body: Mapping[str, Json]
    interrupts: Sequence[Json]


class Interruptions(Protocol):
    """Runs that ended by asking back."""

    async def load(self, run: ClaimedRun, run_id: str) -> Interrupted | None:
        """What a run of the same session asked, None when it asked nothing."""


class Sessions(Protocol):
    """The conversation that a run belongs to."""

    async def history(self, run: ClaimedRun, *, limit: int) -> Sequence[Turn]:
        """The session's newest messages before this run, oldest first."""
