"""Nodes that ask a model: text that readers see as it is written, or JSON that satisfies a schema."""

from collections.abc import Sequence
from contextlib import aclosing

import orjson
from headrace_blueprint.model import Compose
from headrace_llm.client import ChatRequest, Completion, Message, Restarted
from headrace_llm.errors import InvalidAnswer
from headrace_runtime import errors

from headrace_executor import events
from headrace_executor.engine import failures, rewriting
from headrace_executor.engine.nodes.attempt import Attempt, Result
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json

REPAIRS = 1
"""How often a model is shown what is wrong with its JSON."""
MAX_FAULTS = 10
"""Faults that it is shown at once."""


async def run(attempt: Attempt, node: Compose) -> Result:
    """The model's answer: a text, or a JSON value when the node has a schema. Raises `RunFailed`."""
    prompt = attempt.text(node.prompt)
    limit = attempt.parts.limits.max_prompt_bytes
    if len(prompt.encode()) > limit:
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the prompt has more than {limit} bytes; refer to less.")
    messages = rewriting.messages(prompt, attempt.rewrite)
    try:
        return await (_text(attempt, node, messages) if node.schema_ is None else _json(attempt, node, messages))
    except errors.ServiceError as error:
        raise failures.from_service(error, part="the model", invalid=FailureCode.INVALID_BLUEPRINT) from error


def _request(attempt: Attempt, node: Compose, messages: Sequence[Message]) -> ChatRequest:
    request = ChatRequest(
        messages=messages,
        tenant_id=attempt.run.tenant_id,
        deadline_s=attempt.timeout_s,
        model=node.model or "",
        max_tokens=node.max_tokens,
        schema=node.schema_,
        purpose="compose",
        unblocks=attempt.unblocks,
        on_wait=attempt.on_wait,
        on_cost=attempt.bill.add,
    )
    return attempt.run.call_context.applied(request)


async def _text(attempt: Attempt, node: Compose, messages: Sequence[Message]) -> Result:
    limit = attempt.parts.limits.max_output_bytes
    pieces: list[str] = []
    size = 0
    journal = attempt.journal
    message_id = attempt.open_message()
    async with aclosing(attempt.parts.models.stream(_request(attempt, node, messages))) as stream:  # type: ignore[type-var]
        async for piece in stream:
            if isinstance(piece, Completion):
                break
            if isinstance(piece, Restarted):
                message_id, size = attempt.begin_message_anew(), 0
                pieces.clear()
                continue
            size += len(piece)
            if size > limit:
                raise RunFailed(FailureCode.PROVIDER, f"the model's answer has more than {limit} bytes; set max_tokens.")
            pieces.append(piece)
            journal.delta(message_id, piece)
            await journal.drained()
    attempt.message_id = ""
    return Result("".join(pieces), (events.text_end(message_id),))


async def _json(attempt: Attempt, node: Compose, messages: Sequence[Message]) -> Result:
    for left in range(REPAIRS, -1, -1):
        try:
            completion = await attempt.parts.models.complete(_request(attempt, node, messages))
        except InvalidAnswer as error:
            if not left:
                faults = "; ".join(error.faults[:MAX_FAULTS])
                raise RunFailed(FailureCode.PROVIDER, f"the model's answer does not fit the schema: {faults}.") from error
            messages = (*messages, *_repair(error))
            continue
        return Result(_loaded(completion.text))
    raise AssertionError("unreachable: the last round returns or raises")


def _loaded(text: str) -> Json:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RunFailed(FailureCode.PROVIDER, "the model's answer is not JSON.") from error


def _repair(error: InvalidAnswer) -> tuple[Message, Message]:
    faults = "\n".join(f"- {fault}" for fault in error.faults[:MAX_FAULTS])
    return (
        Message("assistant", error.text),
        Message(
            "user", f"That does not satisfy the JSON Schema:\n{faults}\nAnswer again with the whole corrected JSON only."
        ),
    )
