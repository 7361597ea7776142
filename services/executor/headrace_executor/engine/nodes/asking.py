"""How nodes ask a model: the request, a text in pieces as readers see it, JSON that is mended at most once."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import orjson
from headrace_blueprint.model import Compose
from headrace_llm.client import ChatRequest, Completion, Message, Restarted
from headrace_llm.errors import InvalidAnswer

from headrace_executor.engine.nodes.attempt import Attempt
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json

REPAIRS = 1
"""How often a model is shown what is wrong with its JSON."""
MAX_FAULTS = 10
"""Faults that it is shown at once."""


def request(attempt: Attempt, node: Compose, messages: Sequence[Message]) -> ChatRequest:
    """What a node asks its model, within what is left of the attempt."""
    asked = ChatRequest(
        messages=messages,
        tenant_id=attempt.run.tenant_id,
        deadline_s=attempt.left_s,
        model=attempt.text(node.model) if node.model else "",
        max_tokens=node.max_tokens,
        schema=node.schema_,
        purpose="compose",
        unblocks=attempt.unblocks,
        on_wait=attempt.on_wait,
        on_cost=attempt.bill.add,
    )
    return attempt.run.call_context.applied(asked)


async def speak(attempt: Attempt, asked: ChatRequest) -> Completion:
    """Stream an answer into the open message, or into one that its first piece opens. The caller closes it.

    Raises `RunFailed` when the text is longer than an output may be, and what the model's client raises.
    """
    limit = attempt.parts.limits.max_output_bytes
    pieces: list[str] = []
    size = 0
    async with aclosing(attempt.parts.models.stream(asked)) as stream:  # type: ignore[type-var]
        async for piece in stream:
            if isinstance(piece, Completion):
                return replace(piece, text="".join(pieces))
            if isinstance(piece, Restarted):
                if attempt.message_id:
                    attempt.begin_message_anew()
                size = 0
                pieces.clear()
                continue
            size += len(piece)
            if size > limit:
                raise RunFailed(FailureCode.PROVIDER, f"the model's answer has more than {limit} bytes; set max_tokens.")
            pieces.append(piece)
            attempt.journal.delta(attempt.message_id or attempt.open_message(), piece)
            await attempt.journal.drained()
    raise AssertionError("a stream ends with its Completion")


async def mended(attempt: Attempt, asked: ChatRequest, *, repairs: int = REPAIRS) -> Json:
    """A JSON value that satisfies the request's schema. Raises `RunFailed`, and what the model's client raises."""
    for left in range(repairs, -1, -1):
        try:
            return loaded((await attempt.parts.models.complete(asked)).text)
        except InvalidAnswer as error:
            if not left:
                raise unfit(error.faults) from error
            asked = replace(asked, messages=(*asked.messages, *repair(error.text, error.faults)))
    raise AssertionError("unreachable: the last round returns or raises")


def unfit(faults: Sequence[str]) -> RunFailed:
    """What a node fails with whose model gave no JSON of the schema."""
    said = "; ".join(faults[:MAX_FAULTS])
    return RunFailed(FailureCode.PROVIDER, f"the model's answer does not fit the schema: {said}.")


def loaded(text: str) -> Json:
    """A text's JSON value. Raises `RunFailed`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RunFailed(FailureCode.PROVIDER, "the model's answer is not JSON.") from error


def repair(text: str, faults: Sequence[str]) -> tuple[Message, Message]:
    """The turns that show a model what is wrong with its JSON."""
    listed = "\n".join(f"- {fault}" for fault in faults[:MAX_FAULTS])
    return (
        Message("assistant", text),
        Message(
            "user", f"That does not satisfy the JSON Schema:\n{listed}\nAnswer again with the whole corrected JSON only."
        ),
    )
