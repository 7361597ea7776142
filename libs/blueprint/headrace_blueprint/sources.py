"""The CEL sources of one document: compiled once each, and bounded together."""

from collections.abc import Iterator

from headrace_blueprint import cel_engine, scanner
from headrace_blueprint.expressions import MAX_TOKENS, InvalidExpression, compile_expression
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.scope import Path, Scope, unknown_input, unknown_node
from headrace_blueprint.shapes import nearest

MAX_WEIGHT = 10_000
"""Most that the different expressions of a document may weigh together: a token weighs 1, a minus more."""
OVERHEAD = 10
"""What an expression weighs more than its tokens."""
WRONG = 12
"""How many times as much a wrong one weighs: the engine's parser looks for a way to mend it."""


class Sources:
    """Checks one document's expressions."""

    def __init__(self) -> None:
        self._left = MAX_WEIGHT
        self._compiled: set[str] = set()

    def faults(self, source: str, at: Path, scope: Scope, needs: set[str]) -> Iterator[Fault]:
        """What is wrong with an expression; the nodes that it names are added to `needs`."""
        if self._left < 0:
            return  # said once
        try:
            expression = compile_expression(source)
        except InvalidExpression as error:
            yield Fault(pointer(at), f"the expression is wrong: {error}")
            found = scanner.tokens(source, at_most=MAX_TOKENS)
            yield from self._count(WRONG * (scanner.weight(found) + OVERHEAD), at)
            return
        if source not in self._compiled:
            self._compiled.add(source)
            yield from self._count(expression.weight + OVERHEAD, at)
        needs |= expression.needs
        for name in sorted(expression.needs - scope.nodes):
            yield unknown_node(at, name, scope)
        for name in sorted(expression.names - scope.roots):
            yield Fault(pointer(at), f"the expression names the unknown {name[:64]!r}", nearest(name, scope.roots))
        for name in sorted(expression.functions - cel_engine.FUNCTIONS):
            yield Fault(pointer(at), f"there is no function {name[:64]!r}", nearest(name, cel_engine.FUNCTIONS))
        if scope.inputs is not None:
            for name in sorted(expression.inputs - scope.inputs):
                yield unknown_input(at, name, scope.inputs)

    def _count(self, weight: int, at: Path) -> Iterator[Fault]:
        self._left -= weight
        if self._left < 0:
            yield Fault(
                pointer(at),
                f"the expressions up to here have more than {MAX_WEIGHT} tokens together, wrong ones counted {WRONG} times",
                "mend the wrong ones, or write fewer or shorter ones: the same one counts once",
            )
