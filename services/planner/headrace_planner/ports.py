"""What planning needs from outside, as protocols. `adapters` implement them; tests fake them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.client import Message

from headrace_planner.model import Draft


class Drafter(Protocol):
    """A model that writes plans."""

    @property
    def context_tokens(self) -> int:
        """How many tokens its prompt and its answer may have together."""

    async def draft(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any],
        max_tokens: int,
        tenant_id: str,
        deadline_s: float,
        context: CallContext = NO_CONTEXT,
    ) -> Draft:
        """Ask for a plan. An answer that does not fit the schema is a Draft with faults. Raises `errors.DraftFailed`."""
