"""Nodes that choose: the first case that is true, else `else`. What is guarded and not chosen the runner skips."""

from headrace_blueprint.model import Branch

from headrace_executor.engine.nodes import compute
from headrace_executor.engine.nodes.attempt import Attempt, Result


async def run(attempt: Attempt, node: Branch) -> Result:
    """{case, then}: the index of the case that holds, None for `else`, and the nodes that may run."""
    for index, case in enumerate(node.cases):
        if await compute.holds(attempt, case.when):
            return Result({"case": index, "then": list(case.then)})
    return Result({"case": None, "then": list(node.else_)})
