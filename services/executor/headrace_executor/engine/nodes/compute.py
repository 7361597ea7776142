"""Nodes that compute: CEL over inputs and earlier outputs, here when that is surely quick and in a worker otherwise."""

from headrace_blueprint import expressions
from headrace_blueprint.model import Compute

from headrace_executor.engine.nodes.attempt import Attempt, Result
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json


async def run(attempt: Attempt, node: Compute) -> Result:
    """The value of the node's expression."""
    return Result(await evaluate(attempt, node.expr))


async def holds(attempt: Attempt, condition: str) -> bool:
    """Whether a `when` is true. Raises `RunFailed` when it is neither true nor false."""
    value = await evaluate(attempt, condition)
    if not isinstance(value, bool):
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"`when` is {type(value).__name__}, neither true nor false.")
    return value


async def evaluate(attempt: Attempt, source: str) -> Json:
    """Evaluate an expression without holding the event loop. Raises `RunFailed`."""
    try:
        expression = expressions.compile_expression(source)
        inline = attempt.scope.size(expression) <= attempt.parts.limits.max_inline_cel_bytes
        if inline and not expression.has_comprehension:
            return expressions.evaluate(expression, attempt.seen())
    except (expressions.InvalidExpression, expressions.EvaluationFailed) as error:
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the expression failed: {error}.") from error
    seen = {name: value for name, value in attempt.scope.seen(expression.needs).items() if name in expression.names}
    return await attempt.parts.cel.evaluate(source, seen)
