"""One input, as a stranger would send it, through everything that reads blueprints; and what it cost.

The first byte of an input says what the rest is: a document, a text with references, or an expression.
"""

import contextlib
import time

from headrace_blueprint import expressions, references, tools, validation
from headrace_blueprint.expressions import EvaluationFailed, InvalidExpression
from headrace_blueprint.faults import InvalidBlueprint
from headrace_blueprint.plan import compile_plan
from headrace_blueprint.references import MalformedReference, MissingReference, ResolvedTooLarge

MAX_CPU_S = 0.1
"""What no document may cost on one idle core."""
DOCUMENT, TEXT, EXPRESSION = b"d", b"t", b"e"
SCOPE = {
    "inputs": {"n": 3, "s": "text", "l": [1, 2, "x"], "o": {"k": None}},
    "nodes": {"a": {"output": [1.5]}},
    "item": "i",
}


def run(data: bytes) -> str:
    """Read an input and say what it is. Raises what no reader expects."""
    kind, rest = data[:1], data[1:]
    match kind:
        case b"t":
            return text(rest.decode("utf-8", "replace"))
        case b"e":
            return expression(rest.decode("utf-8", "replace"))
        case _:
            return document(rest)


def document(data: bytes) -> str:
    """Read, check and plan a document."""
    try:
        read = validation.loads(data)
        faults = validation.validate(read, tools=tools.SCHEMAS, workflows=("report",))
        if faults:
            assert all(isinstance(one.pointer, str) and one.message for one in faults)
            return f"{len(faults)} faults"
        parsed = validation.parse(read, tools=tools.SCHEMAS)
    except InvalidBlueprint as error:
        return error.faults[0].message
    assert parsed.to_json() == read
    plan = compile_plan(parsed)
    assert sorted(plan.order) == sorted(plan.needs) == sorted(plan.unblocks)
    return f"{len(plan.order)} nodes"


def text(source: str) -> str:
    """Find a text's references and resolve them."""
    with contextlib.suppress(MalformedReference):
        references.needs({"a": [source]})
    try:
        references.resolve({"a": [source]}, SCOPE)
    except (MalformedReference, MissingReference, ResolvedTooLarge) as error:
        return str(error)
    assert references.resolve(references.literal(source), {}) == source
    return "resolved"


def expression(source: str) -> str:
    """Compile an expression, and evaluate it when its cost is bounded."""
    try:
        compiled = expressions.compile_expression(source)
        if not compiled.has_comprehension:
            expressions.evaluate(compiled, SCOPE)
    except (InvalidExpression, EvaluationFailed) as error:
        return str(error)
    return "compiled"


def cpu_s(data: bytes, *, rounds: int) -> float:
    """The least CPU time that an input took in some rounds, nothing remembered from the one before. Once as a document: a
    caller either validates or parses."""
    least = float("inf")
    for _ in range(rounds):
        expressions.compile_expression.cache_clear()
        references.read.cache_clear()
        started = time.thread_time()
        if data[:1] in (TEXT, EXPRESSION):
            run(data)
        else:
            with contextlib.suppress(InvalidBlueprint):
                compile_plan(validation.parse(validation.loads(data[1:]), tools=tools.SCHEMAS))
        least = min(least, time.thread_time() - started)
    return least
