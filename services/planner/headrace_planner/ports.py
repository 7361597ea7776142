"""What planning needs from outside, as protocols. `adapters` implement them; tests fake them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.client import Message

from headrace_planner.model import Draft


class Drafter(Protocol):
    """A model that writes plans and changes."""

    @property
    def identity(self) -> str:
        """Of the model that is asked unless another is named: another one, or one that reads more, writes other plans."""

    def context_tokens(self, model: str = "") -> int:
        """How many tokens a prompt and its answer may have together. Raises `headrace_llm.errors.UnknownModel`."""

    def answer_tokens(self, model: str) -> int:
        """How many tokens a model's answer may have in a run; "" is the default one, not the planner's.

        Raises `headrace_llm.errors.UnknownModel`.
        """

    async def draft(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any],
        max_tokens: int,
        tenant_id: str,
        deadline_s: float,
        purpose: str,
        model: str = "",
        context: CallContext = NO_CONTEXT,
    ) -> Draft:
        """Ask for JSON. An answer that does not fit the schema is a Draft with faults. Raises `errors.DraftFailed`.

        Another `model` is one of the registry. Raises `headrace_llm.errors.UnknownModel` when it is none.
        """


class Plans(Protocol):
    """Plans that are kept for all replicas. What is away keeps nothing and finds nothing; it raises nothing."""

    async def get(self, key: str) -> bytes | None:
        """What was kept under a key, None when nothing was, or was too long ago."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep a plan under a key, in place of what was there."""
