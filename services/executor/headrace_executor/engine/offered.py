"""The tools that a plan may call, as the planner is shown them. Pure."""

from collections.abc import Mapping, Sequence

import orjson
from headrace_blueprint.tools import Tool
from headrace_tools.model import ToolEntry

MAX_TOOLS = 200
"""Tools beside the built-in ones that the planner is told of."""
MAX_BYTES = 1024 * 1024
"""Of their schemas and descriptions together: gRPC takes four times as much."""


def offered(known: Mapping[str, ToolEntry], wanted: Sequence[str]) -> tuple[Sequence[Tool], Sequence[str]]:
    """The tools of a tenant, only those of `wanted` if that names any, and a warning when there are too many of them."""
    tools = [entry.tool for name, entry in known.items() if not wanted or name in wanted]
    left, shown = MAX_BYTES, list[Tool]()
    for tool in tools[:MAX_TOOLS]:
        left -= len(tool.name) + len(tool.description.encode()) + len(orjson.dumps(tool.input_schema, default=dict))
        if left < 0:
            break
        shown.append(tool)
    if len(shown) == len(tools):
        return shown, ()
    text = f"only {len(shown)} of {len(tools)} tools were offered to the planner; name those that the plan needs in tools"
    return shown, (text,)
