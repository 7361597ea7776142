"""The whole pipeline as a model: the last user message becomes a conversation's run, its text the answer."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

import orjson
from pydantic import ValidationError

from headrace_edge.auth import Caller
from headrace_edge.bodies import HistoryBody, Priority, history
from headrace_edge.edge import Edge
from headrace_edge.openai.bodies import PIPELINE, ChatBody, ChatMessage
from headrace_edge.openai.model import AnswerItem
from headrace_edge.openai.transcript import Transcript
from headrace_edge.policy import Fault, Problem, Refused
from headrace_edge.ports import Event
from headrace_edge.routes import streaming
from headrace_edge.submitting import prepared

_A_MODEL = "name a model of GET /v1/models"
_INSTEAD = {
    "tools": f"{_A_MODEL} to be asked to call functions of your own, "
    "or send the message with the names of tools of GET /skills to /api/conversation"
}
"""What a field that the pipeline refuses is to be replaced by."""


async def ask(
    edge: Edge, caller: Caller, body: ChatBody, *, priority: Priority, idempotency_key: str | None
) -> tuple[str, AsyncGenerator[AnswerItem, None]]:
    """Submit the run: its id and its answer. Raises Refused, ServiceError."""
    submission = await prepared(
        edge,
        caller,
        _conversation(body, priority),
        kind="conversation",
        execute=True,
        idempotency_key=idempotency_key,
        priority=priority,
    )
    run_id, events = await streaming.started(edge, submission)
    return run_id, _answer(events)


async def _answer(events: AsyncGenerator[Sequence[Event], None]) -> AsyncGenerator[AnswerItem, None]:
    transcript = Transcript(PIPELINE)
    async with aclosing(events):
        async for batch in events:
            for event in batch:
                for item in transcript.take(orjson.loads(event.data)):
                    yield item


def _conversation(body: ChatBody, priority: Priority) -> HistoryBody:
    for name in body.needs_a_model():
        raise _refused(name, f"{PIPELINE} cannot do this; {_INSTEAD.get(name, _A_MODEL)}")
    index, message = body.last_user_message()
    if message is None:
        raise _refused("messages", f"{PIPELINE} needs a user's message to answer")
    try:
        return HistoryBody(message=message, priority=priority, history=history(_turns(body.messages[:index])))
    except ValidationError as error:
        raise _refused(f"messages[{index}].content", error.errors()[0]["msg"]) from error


def _turns(messages: Sequence[ChatMessage]) -> Iterable[tuple[str, str]]:
    return ((one.role, one.content) for one in messages)


def _refused(param: str, message: str) -> Refused:
    return Refused(Problem(422, "INVALID_ARGUMENT", message, (Fault(("body", param), message),)))
