"""The tools that the planner is offered, for a plan or for the model of a conversation. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from headrace_blueprint.tools import TOOLS, Tool
from headrace_tools.model import ToolEntry

from headrace_executor.engine import tool_names
from headrace_executor.engine.requests import CONVERSATIONAL, refused

MAX_TOOLS = 200
"""Tools beside the built-in ones that the planner is told of."""
MAX_BYTES = 1024 * 1024
"""Most bytes of their schemas and descriptions together; gRPC takes four times as much."""

_NO_QUIZ = "a quiz calls no tools: those that the request names were left out"


@dataclass(frozen=True, slots=True)
class Offer:
    """What the planner is told."""

    names: Sequence[str] = ()
    """The tools that may be called. Empty means every tool for a build, and none for a conversation."""
    tools: Sequence[Tool] = ()
    """Those of them that are not built in."""
    warnings: Sequence[str] = ()


def offered(intent: str, known: Mapping[str, ToolEntry], names: Sequence[str]) -> Offer:
    """The tools of a tenant for an intent, `names` being those of the request.

    Raises `RunFailed` when a conversation names tools that its model cannot be given. A build goes on without them, with
    the planner's warnings.
    """
    if intent in CONVERSATIONAL:
        return _given(known, names)
    if intent != "build":
        return Offer(warnings=(_NO_QUIZ,) if names else ())
    if not names or tool_names.ALL in names:
        return Offer((), *_shown([entry.tool for entry in known.values()]))
    meant = tool_names.read(names, [*known, *TOOLS])
    tools, warnings = _shown([known[name].tool for name in meant.names if name in known])
    left = {tool.name for tool in tools} | TOOLS.keys()
    return Offer([*(name for name in meant.names if name in left), *meant.unknown], tools, warnings)


def _given(known: Mapping[str, ToolEntry], names: Sequence[str]) -> Offer:
    meant = tool_names.for_a_model(names, [*known, *TOOLS])
    if meant.faults:
        raise refused("The request names tools that cannot be given to its model", meant.faults)
    tools, warnings = _shown([known[name].tool for name in meant.names if name in known])
    return Offer(meant.names, tools, warnings)


def _shown(tools: Sequence[Tool]) -> tuple[Sequence[Tool], Sequence[str]]:
    """As many tools as the planner takes, and a warning if some are left out."""
    left, shown = MAX_BYTES, list[Tool]()
    for tool in tools[:MAX_TOOLS]:
        left -= len(tool.name) + len(tool.description.encode()) + len(orjson.dumps(tool.input_schema, default=dict))
        if left < 0:
            break
        shown.append(tool)
    if len(shown) == len(tools):
        return tuple(shown), ()
    text = f"only {len(shown)} of {len(tools)} tools were offered to the planner; name those that the plan needs in tools"
    return tuple(shown), (text,)
