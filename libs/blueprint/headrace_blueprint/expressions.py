"""CEL expressions: compiled, checked for what they name and how they loop, and evaluated to JSON.

The engine has no cost limit and holds the interpreter while it runs. Without a comprehension an expression's time is
bounded by its length and its data; one with a comprehension (`has_comprehension`) belongs in a process that can be ended.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from headrace_blueprint import cel_engine, scanner
from headrace_blueprint.model import MAX_EXPRESSION

Json = Any

MAX_TOKENS = 600
"""Longest expression in tokens. The engine recurses over it in native code, and a chain of 1000 operators overflows the
stack of a thread with 512 KiB; a third of that is allowed."""
MAX_NESTING = 32
"""Deepest nesting of brackets and conditionals; the engine's parser overflows the same stack at about 100."""
MAX_LOOPS = 2
"""Deepest nesting of all, exists, exists_one, map and filter."""
MAX_RESULT_DEPTH = 64
COMPILED = 1024
"""How many compiled expressions a process keeps."""


class InvalidExpression(ValueError):
    """A source that is no expression of ours; the text says why."""


class EvaluationFailed(ValueError):
    """An expression failed on its data: a missing key, a wrong type, a result that is not JSON."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `program` is the engine's; it is used by one thread at a time."""

    source: str
    names: frozenset[str]
    """Variables that the scope must have, such as nodes, inputs, item."""
    functions: frozenset[str]
    needs: frozenset[str]
    """Ids of the nodes whose output it reads."""
    inputs: frozenset[str]
    """Inputs that it reads by name."""
    has_comprehension: bool
    weight: int
    """What compiling it costs: see `scanner.weight`."""
    program: Any


@lru_cache(maxsize=COMPILED)
def compile_expression(source: str) -> Expression:
    """Compile a CEL source. Raises InvalidExpression; an error is not kept, a success is."""
    if len(source) > MAX_EXPRESSION:
        raise InvalidExpression(f"an expression has at most {MAX_EXPRESSION} characters")
    tokens = scanner.tokens(source, at_most=MAX_TOKENS + 1)
    if len(tokens) > MAX_TOKENS:
        raise InvalidExpression(f"an expression has at most {MAX_TOKENS} tokens")
    if scanner.nesting(tokens) > MAX_NESTING:
        raise InvalidExpression(f"brackets and conditionals nest at most {MAX_NESTING} deep")
    try:
        program = cel_engine.compile_source(source)
        variables = set(program.variables())
    except ValueError as error:
        raise InvalidExpression(_first_line(error)) from None
    found = scanner.scan(tokens)
    _check(found, variables)
    return Expression(
        source,
        frozenset(found.free),
        frozenset(found.functions),
        frozenset(found.nodes),
        frozenset(found.inputs),
        found.loops > 0,
        scanner.weight(tokens),
        program,
    )


def _check(found: scanner.Names, variables: set[str]) -> None:
    if found.faults:
        raise InvalidExpression(found.faults[0])
    if found.loops > MAX_LOOPS:
        raise InvalidExpression(f"loops nest at most {MAX_LOOPS} deep")
    if shadowed := found.bound & {"inputs", "nodes", "item", *scanner.NAMESPACES}:
        raise InvalidExpression(f"a loop variable may not be called {min(shadowed)}")
    # What the parser saw and the token scan did not would escape the checks above.
    if unseen := variables - found.free - found.bound - scanner.NAMESPACES:
        raise InvalidExpression(f"the name {min(unseen)} is used in a way that is not understood")


def evaluate(expression: Expression, scope: Mapping[str, Json]) -> Json:
    """Evaluate to a JSON value over {"inputs": …, "nodes": {id: {"output": …}}, "item": …}. Raises EvaluationFailed.

    Only what the expression names is handed to the engine: its cost does not grow with the rest of the run.
    """
    variables: dict[str, Json] = {}
    for name in expression.names:
        if name not in scope:
            raise EvaluationFailed(f"there is no {name!r} here")
        variables[name] = scope[name]
    if "nodes" in variables:
        known = variables["nodes"]
        variables["nodes"] = {node: known[node] for node in expression.needs if node in known}
    try:
        result = expression.program.execute(cel_engine.context(variables, expression.functions))
    except KeyError as error:
        raise EvaluationFailed(f"there is no {error.args[0]!r}") from None
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise EvaluationFailed(_first_line(error)) from None
    return _to_json(result, 0)


def _to_json(value: Any, depth: int) -> Json:
    if depth > MAX_RESULT_DEPTH:
        raise EvaluationFailed(f"the result is more than {MAX_RESULT_DEPTH} levels deep")
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return [_to_json(item, depth + 1) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            # The engine's maps have another order each time; a prompt made from one must be the same each time.
            return {key: _to_json(value[key], depth + 1) for key in sorted(value)}
        case datetime.datetime():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            raise EvaluationFailed(f"the result has a {_kind(value)}, which JSON has not; string(…) makes it text")


def _kind(value: Any) -> str:
    if isinstance(value, float):
        return "number that is not finite"
    if isinstance(value, dict):
        return "map with keys that are not strings"
    return type(value).__name__


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    message = next((line for line in text.splitlines() if "ERROR:" in line), text.splitlines()[0] if text else "failed")
    return message.rpartition("ERROR: ")[2].removeprefix("<input>:").partition(" expecting {")[0][:300]
