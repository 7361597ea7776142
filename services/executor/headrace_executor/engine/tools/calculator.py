"""Arithmetic on a text, by walking Python's syntax tree with a list of what is allowed. Nothing is executed.

Every intermediate value is bounded before it is computed, so no expression can cost more than microseconds.
"""

import ast
import math
import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any

from headrace_executor.engine.tools.errors import ToolFailed

MAX_CHARACTERS = 1_000
MAX_TERMS = 200
"""Nodes of the syntax tree."""
MAX_BITS = 4_096
"""Size of a whole number, about 1 233 digits."""
MAX_DIGITS = 300
"""Digits that `round` keeps: it computes 10 to that power."""

Number = int | float


def _round(number: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > MAX_DIGITS:
        raise ToolFailed(f"round takes at most {MAX_DIGITS} digits")
    return round(number, digits) if digits else round(number)


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_NAMES: Mapping[str, float] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": _round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}


def calculate(expression: str) -> dict[str, Any]:
    """Return {value, text}: the number as JSON holds it, and its exact digits.

    Raises `ToolFailed` for what is not arithmetic, has no value, or is too large.
    """
    value = _value(_parse(expression))
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolFailed("the result is not a finite number")
    return {"value": _json(value), "text": repr(value)}


def _json(value: Number) -> Number | None:
    """The number as JSON's readers hold it: whole numbers beyond 2⁵³ as the nearest double, None beyond those."""
    if isinstance(value, int) and abs(value) > 2**53:
        return float(value) if value.bit_length() <= sys.float_info.max_exp - 1 else None
    return value


def _parse(expression: str) -> ast.expr:
    if len(expression) > MAX_CHARACTERS:
        raise ToolFailed(f"an expression has at most {MAX_CHARACTERS} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ToolFailed(f"{expression[:80]!r} is not an arithmetic expression") from error
    if sum(1 for _ in ast.walk(tree)) > MAX_TERMS:
        raise ToolFailed(f"an expression has at most {MAX_TERMS} terms")
    return tree


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _apply(_BINARY[type(op)], _value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _apply(_FUNCTIONS[name], *(_value(argument) for argument in args))
        case ast.BinOp(op=ast.BitXor()):
            raise ToolFailed("^ is not an operator; write ** for a power")
        case _:
            known = ", ".join(sorted((*_NAMES, *_FUNCTIONS)))
            raise ToolFailed(f"{ast.unparse(node)[:80]!r} is not arithmetic; numbers, + - * / // % ** and {known} are")


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and max(1, base.bit_length()) * abs(exponent) > MAX_BITS:
        if abs(base) > 1:
            raise ToolFailed(f"the power is larger than {MAX_BITS} bits")
        exponent = exponent % 2 + 2 if exponent > 0 else exponent % 2 - 2
    result = _apply(operator.pow, base, exponent)
    if isinstance(result, complex):
        raise ToolFailed("a fractional power of a negative number has no real value")
    return result


def _apply(function: Callable[..., Number], *values: Number) -> Number:
    try:
        return _bounded(function(*values))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ToolFailed(f"the expression has no value: {error}") from error


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ToolFailed(f"a number is larger than {MAX_BITS} bits")
    return value
