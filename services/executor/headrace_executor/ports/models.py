"""The models, what is known of their quota, and expressions."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from headrace_llm.client import ChatRequest, Completion, Restarted, Wait
from headrace_llm.usage import Usage

from headrace_executor.model import Json


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
