"""The services that a run asks: router, planner, rag."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace_blueprint.tools import Tool
from headrace_llm.usage import Usage

from headrace_executor.model import ClaimedRun, Json


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


@dataclass(frozen=True, slots=True)
class Routed:
    """The router's answer."""

    intent: str
    """chat, qa, build, quiz or patch."""
    confidence: float
    decided_by: str
    """rules, embedding or model."""
    usage: Usage


class Router(Protocol):
    """The router service."""

    async def route(
        self, run: ClaimedRun, *, message: str, mode: str, has_blueprint: bool, history: Sequence[Turn]
    ) -> Routed:
        """Decide the intent of a message. `mode` is "" or "auto" for automatic."""


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
