"""Nodes that call a tool. Readers see the call before it is made and its result when it is recorded."""

import orjson
from headrace_blueprint.model import Data
from headrace_tools.errors import ToolFailed

from headrace_executor import events
from headrace_executor.engine import tool_calls
from headrace_executor.engine.nodes.attempt import Attempt, Result


async def run(attempt: Attempt, node: Data) -> Result:
    """Call the node's tool with its arguments. Raises `RunFailed` when they are not the tool's, or have no result."""
    arguments = attempt.resolved(node.args)
    event_id = attempt.unique_id
    announced = False
    try:
        entry = tool_calls.find(attempt, node.tool)
        await tool_calls.check(entry, arguments)
        tool_calls.announce(attempt, event_id, node.tool, orjson.dumps(arguments).decode())
        announced = True
        call_id = f"{attempt.run.run_id}:{attempt.step}"
        output = await tool_calls.make(attempt, entry, arguments, call_id=call_id)
    except ToolFailed as error:
        if announced:
            attempt.journal.emit(events.tool_failed(event_id, str(error)))
        raise tool_calls.failure(node.tool, error) from error
    told = tool_calls.told(attempt, event_id, output, step=attempt.step)
    return Result(output, (told,), only_once=not entry.idempotent)
