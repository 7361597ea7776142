"""Nodes that call a tool. Readers see the call before it is made and its result when it is recorded."""

from collections.abc import Awaitable, Callable, Mapping

import jsonschema
import orjson
from headrace_blueprint import tools
from headrace_blueprint.model import Data

from headrace_executor import events
from headrace_executor.engine import page
from headrace_executor.engine.nodes import retrieve
from headrace_executor.engine.nodes.attempt import Attempt, Result
from headrace_executor.engine.tools import calculator, time
from headrace_executor.engine.tools.errors import ToolFailed
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json

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


TOOLS: Mapping[str, Callable[[Attempt, Arguments], Awaitable[Json]]] = {
    "calculator": _calculator,
    "time": _time,
    "search": _search,
}
"""The built-in tools by the names of `headrace_blueprint.tools`."""

_VALIDATORS = {name: jsonschema.Draft202012Validator(dict(schema)) for name, schema in tools.SCHEMAS.items()}


async def run(attempt: Attempt, node: Data) -> Result:
    """Call the node's tool with its arguments. Raises `RunFailed` when they are not the tool's, or have no result."""
    tool = TOOLS.get(node.tool)
    if tool is None:
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"there is no tool {node.tool!r}; there are {', '.join(TOOLS)}.")
    arguments = attempt.resolved(node.args)
    _check(node.tool, arguments)
    call_id, limit = attempt.unique_id, attempt.parts.limits.max_event_bytes
    shown = orjson.dumps(page.capped(arguments, limit)).decode()
    attempt.journal.emit(*events.tool_call(call_id, node.tool, shown))
    try:
        output = await tool(attempt, arguments)
    except ToolFailed as error:
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the tool {node.tool} has no result: {error}.") from error
    content = orjson.dumps(page.capped(output, limit)).decode()
    return Result(output, (events.tool_result(call_id, f"{call_id}:result", content),))


def _check(tool: str, arguments: Arguments) -> None:
    faults = sorted(_VALIDATORS[tool].iter_errors(arguments), key=lambda fault: list(map(str, fault.absolute_path)))
    if faults:
        said = "; ".join(f"{fault.json_path}: {fault.message[:200]}" for fault in faults[:5])
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the arguments are not those of the tool {tool}: {said}.")
