"""Calls of tools, in one place: what a data node says and what a model wishes go the same way.

Built-in tools are run here, all others by the toolbox. Arguments are held against the tool's schema before
anything is called; what is left of the attempt and of the run is the call's deadline.
"""

import asyncio
import math
import time as clock
from collections.abc import Awaitable, Callable, Mapping

from headrace_blueprint import tools
from headrace_blueprint.shapes import nearest
from headrace_schemas import counted
from headrace_tools import arguments as judge
from headrace_tools.errors import ToolFailed
from headrace_tools.model import ToolEntry

from headrace_executor import events
from headrace_executor.engine import large
from headrace_executor.engine.metrics import TOOL_CALLS, TOOL_SECONDS
from headrace_executor.engine.nodes import retrieve
from headrace_executor.engine.nodes.attempt import Attempt
from headrace_executor.engine.tools import calculator, time
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Event

Arguments = Mapping[str, Json]


async def _calculator(_: Attempt, arguments: Arguments) -> Json:
    return calculator.calculate(arguments["expression"])


async def _time(attempt: Attempt, arguments: Arguments) -> Json:
    return time.tell(attempt.parts.now(), arguments.get("timezone", "UTC"))


async def _search(attempt: Attempt, arguments: Arguments) -> Json:
    return await retrieve.search(
        attempt,
        query=arguments["query"],
        workspace=arguments.get("workspace", ""),
        mode="naive",
        top_k=arguments.get("top_k", retrieve.TOP_K),
    )


BUILTIN: Mapping[str, Callable[[Attempt, Arguments], Awaitable[Json]]] = {
    "calculator": _calculator,
    "time": _time,
    "search": _search,
}
"""The built-in tools by the names of `headrace_blueprint.tools`."""

_ENTRIES = {name: ToolEntry(tool, "builtin", "", idempotent=True) for name, tool in tools.TOOLS.items()}
_VALIDATORS = {name: counted.validator(tool.input_schema, own=True) for name, tool in tools.TOOLS.items()}


def find(attempt: Attempt, name: str) -> ToolEntry:
    """A tool that the run may call. Raises `ToolFailed`, which names the nearest one."""
    known = attempt.parts.toolbox.tools(attempt.run.tenant_id)
    entry = _ENTRIES.get(name) or known.get(name)
    if entry is None:
        raise ToolFailed(f"there is no such tool; {nearest(name, (*known, *_ENTRIES))}", reason="invalid")
    return entry


async def check(entry: ToolEntry, arguments: Arguments) -> None:
    """Hold a built-in tool's arguments against its schema; the toolbox does so for its own. Raises `ToolFailed`."""
    validator = _VALIDATORS.get(entry.tool.name)
    if validator is not None:
        await judge.check(entry.tool.name, validator, arguments)


def failure(name: str, error: ToolFailed) -> RunFailed:
    """What a node fails with when its tool has no result: which tool, why, and what to do."""
    code, what, advice = _FAILURES.get(error.reason, _FAILURES["failed"])
    when = f" in {max(1, round(error.retry_after_s))} s" if error.retry_after_s is not None else ""
    said = str(error).removeprefix(f"{name}: ").rstrip(".")
    text = f"the tool {name} {what}: {said}. {advice.format(when=when)}"
    return RunFailed(code, text, retry_after_s=error.retry_after_s)


_FAILURES: Mapping[str, tuple[FailureCode, str, str]] = {
    "invalid": (FailureCode.INVALID_BLUEPRINT, "has no result", "Change its arguments."),
    "refused": (FailureCode.TOOL, "was refused", "Check its address and credentials in tools.yaml."),
    "away": (FailureCode.TOOL, "is away", "Submit the run again{when}, or give the node a retry policy."),
    "deadline": (FailureCode.DEADLINE, "was not done in time", "Give the node a larger timeout_s, or ask for less."),
    "too_large": (FailureCode.TOOL, "answered with too much", "Ask for less."),
    "failed": (FailureCode.TOOL, "failed", "Look at what it was called with."),
}


def announce(attempt: Attempt, event_id: str, name: str, arguments: str, *, parent: str = "") -> None:
    """Tell readers that a call is made, with its arguments as JSON. `parent` is the message in which a model wished it."""
    limit = attempt.parts.limits.max_event_bytes
    shown = arguments if len(arguments) <= limit else large.text(arguments, limit)
    attempt.journal.emit(*events.tool_call(event_id, name, shown, parent_message_id=parent))


def told(attempt: Attempt, event_id: str, output: Json, *, step: str = "") -> Event:
    """What tells readers a call's result. `step` has it whole, "" when none has."""
    content = large.text(output, attempt.parts.limits.max_event_bytes, step)
    return events.tool_result(event_id, f"{event_id}:result", content)


async def make(
    attempt: Attempt, entry: ToolEntry, arguments: Arguments, *, call_id: str, at_most_s: float = math.inf
) -> Json:
    """A tool's result, within what is left of the attempt and of the run.

    A built-in tool's arguments were checked. `call_id` is the same whenever the call is made again. Raises `ToolFailed`,
    also for arguments that are not a connector's tool's, and `RunFailed` for a search that fails.
    """
    deadline_s = min(attempt.left_s, at_most_s)
    started = clock.perf_counter()
    outcome = "cancelled"
    try:
        output = await _within(deadline_s, _calling(attempt, entry, arguments, call_id, deadline_s))
        outcome = "ok"
    except ToolFailed as error:
        outcome = error.reason
        raise
    except Exception:
        outcome = "failed"
        raise
    finally:
        TOOL_CALLS.labels(entry.kind, outcome).inc()
        TOOL_SECONDS.labels(entry.kind).observe(clock.perf_counter() - started)
    return output


async def _calling(attempt: Attempt, entry: ToolEntry, arguments: Arguments, call_id: str, deadline_s: float) -> Json:
    name = entry.tool.name
    builtin = BUILTIN.get(name)
    if builtin is not None:
        return await builtin(attempt, arguments)
    toolbox, tenant = attempt.parts.toolbox, attempt.run.tenant_id
    return await toolbox.call(tenant, name, arguments, deadline_s=deadline_s, call_id=call_id)


async def _within(deadline_s: float, calling: Awaitable[Json]) -> Json:
    timeout = asyncio.timeout(deadline_s)
    try:
        async with timeout:
            return await calling
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise ToolFailed(f"{deadline_s:.3g} s were left for it", reason="deadline") from error
