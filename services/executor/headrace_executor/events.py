"""AG-UI 1.0 events in their JSON form (camelCase). Source: the models of the PyPI package ag-ui-protocol 1.0.

Pure constructors: the journal numbers and stores what they return. Contract tests parse them with that package.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

PROTOCOL_VERSION = "1.0"

Event = Mapping[str, Any]


def run_started(session_id: str, run_id: str) -> Event:
    """Open a run; the first event of each."""
    return {"type": "RUN_STARTED", "threadId": session_id, "runId": run_id, "protocolVersion": PROTOCOL_VERSION}


def run_finished(
    session_id: str, run_id: str, *, result: Any, usage: Any, outcome: str, interrupts: Sequence[Any] = ()
) -> Event:
    """End a run that was not wrong; `outcome` is success, cancelled, or interrupt, with what is asked back.

    A result of None is left out: the protocol knows no null here.
    """
    return {
        "type": "RUN_FINISHED",
        "threadId": session_id,
        "runId": run_id,
        **({} if result is None else {"result": result}),
        "usage": usage,
        "outcome": {"type": outcome, "interrupts": list(interrupts)} if interrupts else {"type": outcome},
    }


def run_error(code: str, message: str, *, retry_after_s: float | None = None) -> Event:
    """End a run that failed; `retry_after_s` says from when on another may have what this one lacked."""
    event = {"type": "RUN_ERROR", "message": message, "code": code}
    return event if retry_after_s is None else {**event, "metadata": {"retry_after_s": round(retry_after_s, 1)}}


def step_started(name: str) -> Event:
    """Open a step: route, plan or node:ID."""
    return {"type": "STEP_STARTED", "stepName": name}


def step_finished(name: str) -> Event:
    """Close a step that is done."""
    return {"type": "STEP_FINISHED", "stepName": name}


def step_cut(name: str) -> Event:
    """Close a step that is not done: it failed, or its run ended or changed its owner. AG-UI has one event for both."""
    return {**step_finished(name), "metadata": {"done": False}}


def text_start(message_id: str) -> Event:
    """Open a message of the assistant."""
    return {"type": "TEXT_MESSAGE_START", "messageId": message_id, "role": "assistant"}


def text_content(message_id: str, delta: str) -> Event:
    """Add to an open message; `delta` is not empty."""
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": message_id, "delta": delta}


def text_end(message_id: str) -> Event:
    """Close a message."""
    return {"type": "TEXT_MESSAGE_END", "messageId": message_id}


def tool_call(call_id: str, name: str, arguments: str, *, parent_message_id: str = "") -> Sequence[Event]:
    """Open a tool call and give its arguments, a JSON text; of a model's call also the message that it came with."""
    parent = {"parentMessageId": parent_message_id} if parent_message_id else {}
    return (
        {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": name, **parent},
        {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": arguments},
        {"type": "TOOL_CALL_END", "toolCallId": call_id},
    )


def tool_result(call_id: str, message_id: str, content: str) -> Event:
    """Give a tool's result, a JSON text."""
    return {
        "type": "TOOL_CALL_RESULT",
        "messageId": message_id,
        "toolCallId": call_id,
        "content": content,
        "role": "tool",
    }


def tool_failed(call_id: str, message: str) -> Event:
    """Give the error that a call ended in: a call without a result is one that the client is to answer itself."""
    return tool_result(call_id, f"{call_id}:result", orjson.dumps({"error": message}).decode())


def state_snapshot(snapshot: Any) -> Event:
    """Give the whole shared state: {blueprint, page}."""
    return {"type": "STATE_SNAPSHOT", "snapshot": snapshot}


def state_delta(patch: Sequence[Any]) -> Event:
    """Change the shared state by a JSON Patch."""
    return {"type": "STATE_DELTA", "delta": list(patch)}


def queued(*, position: int, expected_wait_s: float, limited_by: Literal["slots", "quota"], step: str = "") -> Event:
    """Tell what is waited for, and about how long: by the run, or by a step of a run that has a slot."""
    value = {"position": position, "expected_wait_s": round(expected_wait_s, 1), "limited_by": limited_by}
    return custom("headrace.queued", {**value, "step": step} if step else value)


def planned(origin: str, warnings: Sequence[str]) -> Event:
    """Tell where a plan is from, and what it does not have as asked."""
    return custom("headrace.plan", {"origin": origin, "warnings": list(warnings)})


def restarted(step: str, message_id: str) -> Event:
    """Tell that a message is void; its step writes another one, or none."""
    return custom("headrace.restarted", {"step": step, "message_id": message_id})


def custom(name: str, value: Any) -> Event:
    """One of our own: headrace.queued, .intent, .recalled, .plan, .clarification, .restarted, .skipped, .gap, .usage."""
    return {"type": "CUSTOM", "name": name, "value": value}
