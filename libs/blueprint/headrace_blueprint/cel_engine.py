"""The CEL library behind one door: loaded at first use, without its command line, with the functions that are safe.

Loading takes 20 ms and 6 MB; the package's own `import cel` brings its CLI along and takes 140 ms and 30 MB.
"""

import logging
import sys
import types
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

MAX_JOINED = 1024 * 1024
"""Longest text that `join` makes, in characters."""

# fmt: off
BUILTIN = frozenset((
    "bytes", "contains", "double", "duration", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "has",
    "int", "matches", "size", "startsWith", "string", "timestamp", "type", "uint",
))
"""Functions that the engine itself has."""

EXTENSIONS = frozenset((
    "bool", "charAt", "first", "flatten", "indexOf", "last", "lastIndexOf", "lowerAscii", "math.abs", "math.ceil",
    "math.floor", "math.greatest", "math.isFinite", "math.isInf", "math.isNaN", "math.least", "math.round",
    "math.sign", "math.sqrt", "math.trunc", "reverse", "slice", "sort", "split", "substring", "sum", "trim",
    "upperAscii", "max", "min",
))
"""Functions of its extension library whose results are no larger than what they are given."""
# fmt: on

FUNCTIONS = BUILTIN | EXTENSIONS | {"join"}
"""Every function that an expression may call."""


def compile_source(source: str) -> Any:
    """Compile an expression into the engine's program. Raises ValueError."""
    return _load().compile(source)


def context(variables: Mapping[str, Any], functions: Collection[str] = FUNCTIONS) -> Any:
    """An evaluation context with these variables and functions; the engine's own it always has."""
    known = _functions()
    return _load().Context(variables=dict(variables), functions={name: known[name] for name in functions if name in known})


@cache
def _load() -> types.ModuleType:
    # The package imports its CLI (typer, rich, prompt_toolkit) on import; an empty module stands in for it meanwhile.
    stand_in = "cel.cli" not in sys.modules
    if stand_in:
        sys.modules["cel.cli"] = types.ModuleType("cel.cli")
    try:
        import cel
    finally:
        if stand_in:
            del sys.modules["cel.cli"]
    # It logs each failing function with the values that it failed on; the caller gets the same as an exception.
    logging.getLogger("cel").setLevel(logging.CRITICAL)
    return cel


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    known: Mapping[str, Callable[..., Any]] = _load().stdlib.STDLIB_FUNCTIONS
    return {name: known[name] for name in sorted(EXTENSIONS)} | {"join": _join}


def _join(parts: object, separator: str = "") -> str:
    if not isinstance(parts, list):
        raise TypeError("join takes a list of strings")
    if sum(map(len, parts)) + len(separator) * len(parts) > MAX_JOINED:
        raise ValueError(f"join would make more than {MAX_JOINED} characters")
    return separator.join(parts)
