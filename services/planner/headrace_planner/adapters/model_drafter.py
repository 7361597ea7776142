"""`ports.Drafter` over the model client: the registry's planner asks, within a number of slots."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from headrace_blueprint.faults import Fault
from headrace_llm import answers
from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.client import ChatRequest, Message, ModelClient, Priority
from headrace_llm.errors import InvalidAnswer
from headrace_runtime.errors import ServiceError

from headrace_planner.errors import DraftFailed
from headrace_planner.model import Draft


class ModelDrafter:
    """Asks for at most `slots` drafts at once; one more is refused, it does not wait."""

    def __init__(self, models: ModelClient, *, slots: int) -> None:
        self._models = models
        self._slots = slots
        self._asking = 0

    @property
    def identity(self) -> str:
        """See `ports.Drafter`: the registry's planner, what its id stands for, and how much it reads."""
        entry = self._models.registry.resolve(role="planner")
        return f"{entry.id} {entry.model} {entry.api_base or ''} {entry.context_tokens}"

    def context_tokens(self, model: str = "") -> int:
        """Of a registry's model, the planner unless another is named. Raises `UnknownModel`."""
        return self._models.registry.resolve(model, role="planner").context_tokens

    def answer_tokens(self, model: str) -> int:
        """See `ports.Drafter`: at most half of what the model reads, since its question needs room too."""
        entry = self._models.registry.resolve(model)
        return min(entry.max_output_tokens, entry.context_tokens // 2)

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
        """Ask the planner's model. Raises `DraftFailed` for whatever keeps it from answering, `UnknownModel` for a name."""
        if self._asking >= self._slots:
            raise DraftFailed("busy", "too many plans wait for a model")
        request = ChatRequest(
            messages=tuple(messages),
            tenant_id=tenant_id,
            deadline_s=deadline_s,
            model=self._models.registry.resolve(model, role="planner").id,
            priority=Priority.INTERACTIVE,
            max_tokens=max_tokens,
            schema=schema,
            purpose=purpose,
        )
        self._asking += 1
        try:
            async with asyncio.timeout(deadline_s):
                completion = await self._models.complete(context.applied(request))
            # Drafts are read by their schema's names from here on, so it is this border that vouches for them.
            faults = _faults(answers.faults(completion.text, answers.validator(schema)))
            return Draft(completion.text, None if faults else orjson.loads(completion.text), faults, completion.usage)
        except InvalidAnswer as error:
            return Draft(error.text, None, _faults(error.faults) or (Fault("", str(error)),), error.usage)
        except TimeoutError as error:
            raise DraftFailed("deadline_exceeded", "the model took too long") from error
        except ServiceError as error:
            raise DraftFailed(error.code.name.lower(), f"the model could not be asked ({error.reason})") from error
        finally:
            self._asking -= 1


def _faults(lines: Sequence[str]) -> tuple[Fault, ...]:
    """The library's faults, each "POINTER: MESSAGE", as the language's."""
    parts = (line.partition(": ") for line in lines)
    return tuple(Fault(pointer, message) for pointer, _, message in parts)
