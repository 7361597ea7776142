"""Nodes that run one node for each item of a list. Each item is a step of its own; the output has them in their order."""

from headrace_blueprint.model import Map

from headrace_executor.engine.nodes.attempt import Attempt, Result
from headrace_executor.engine.scheduler import run_graph
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json


async def run(attempt: Attempt, node: Map) -> Result:
    """The items' outputs; null for one that was skipped or left a gap. Raises `RunFailed`."""
    inside = attempt.inside
    assert inside is not None
    items = _items(attempt, node)
    inside.expect(items)
    outputs: list[Json] = [None] * len(items)

    async def one(index: int) -> None:
        outputs[index] = await inside.item(index, items[index])

    await run_graph(dict.fromkeys(range(len(items)), ()), one, max_parallel=node.concurrency)
    return Result(outputs)


def _items(attempt: Attempt, node: Map) -> list[Json]:
    over: Json = node.over
    items = attempt.resolved(over)
    if not isinstance(items, list):
        text = f"it runs over a list, and {node.over} is {_kind(items)}; refer to a list."
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, text)
    if len(items) > node.max:
        text = f"{node.over} has {len(items)} items, {node.max} are allowed (max); raise its max or run over fewer."
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, text)
    return items


def _kind(value: Json) -> str:
    names = {dict: "an object", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
