"""Reads a CEL source as tokens to say which names it uses and how deeply its loops nest.

It parses nothing: only what the engine has accepted is believed, and for that tokens are enough.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import NamedTuple

MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
"""Calls that loop over a list or a map."""
NAMESPACES = frozenset({"math"})
MINUS = 15
"""What a minus costs more than another token."""
LITERALS = frozenset({"true", "false", "null", "in"})

_ESCAPED = r"""[bB]?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
_RAW = r"""(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')"""
_NUMBER = r"0x[0-9a-fA-F]+[uU]?|(?:\d*\.\d+|\d+(?=[eE][+-]?\d))(?:[eE][+-]?\d+)?|\d+[uU]?"
_TOKEN = re.compile(
    rf"""(?P<skip>\s+|//[^\n]*)|(?P<string>{_RAW}|{_ESCAPED})|(?P<number>{_NUMBER})"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<mark>.)""",
    re.DOTALL | re.ASCII,
)


class Token(NamedTuple):
    """One token: string, number, name or mark."""

    kind: str
    text: str


@dataclass(slots=True)
class Names:
    """What a source names."""

    free: set[str] = field(default_factory=set)
    """Variables that nothing inside the expression binds."""
    bound: set[str] = field(default_factory=set)
    """Loop variables."""
    functions: set[str] = field(default_factory=set)
    """Called functions, macros excepted; with their namespace, as in math.floor."""
    nodes: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    loops: int = 0
    """Deepest nesting of macros."""
    faults: list[str] = field(default_factory=list)


def tokens(source: str, *, at_most: int) -> list[Token]:
    """Split a source into its first tokens. White space and comments are left out."""
    found = (Token(m.lastgroup or "", m[0]) for m in _TOKEN.finditer(source) if m.lastgroup != "skip")
    return list(islice(found, at_most))


def weight(source: Sequence[Token]) -> int:
    """What the engine's parser takes for a source, in tokens: at a minus, which may begin a number, it reads far ahead."""
    return len(source) + MINUS * sum(token.text == "-" for token in source)


def nesting(source: Sequence[Token]) -> int:
    """An upper bound of how deep a parser recurses: open brackets, and conditionals, which nest without any."""
    marks = [token.text for token in source if token.kind == "mark"]
    depths = accumulate((mark in "([{") - (mark in ")]}") for mark in marks)
    return max(depths, default=0) + marks.count("?")


def scan(source: Sequence[Token]) -> Names:
    """Collect the names of an expression."""
    names = Names()
    scopes: list[
        str | None
    ] = []  # one for each open bracket: the loop variable that it binds, "" for a macro's without one
    for index, token in enumerate(source):
        if token.kind == "mark" and token.text in "([{":
            scopes.append(_loop_variable(source, index))
            names.loops = max(names.loops, sum(scope is not None for scope in scopes))
            if scopes[-1]:
                names.bound.add(scopes[-1])
        elif token.kind == "mark" and token.text in ")]}":
            if scopes:
                scopes.pop()
        elif token.kind == "name" and token.text not in LITERALS:
            _name(names, source, index, {scope for scope in scopes if scope})
    return names


def _loop_variable(source: Sequence[Token], index: int) -> str | None:
    if source[index].text != "(" or index == 0 or source[index - 1].text not in MACROS:
        return None
    following = source[index + 1 : index + 3]
    if len(following) == 2 and following[0].kind == "name" and following[1].text == ",":
        return following[0].text
    return ""


def _name(names: Names, source: Sequence[Token], index: int, bound: set[str]) -> None:
    text = source[index].text
    called = _text(source, index + 1) == "("
    if _text(source, index - 1) == ".":
        qualified = f"{_text(source, index - 2)}.{text}"
        namespaced = _text(source, index - 2) in NAMESPACES and _text(source, index - 3) != "."
        if called and text not in MACROS:
            names.functions.add(qualified if namespaced else text)
    elif called:
        if text not in MACROS:
            names.functions.add(text)
    elif text in bound or (text in NAMESPACES and _text(source, index + 1) == "."):
        return
    else:
        names.free.add(text)
        _member(names, source, index)


def _member(names: Names, source: Sequence[Token], index: int) -> None:
    root = source[index].text
    if root not in ("nodes", "inputs"):
        return
    step = _step(source, index + 1)
    if root == "inputs":
        names.inputs.update({step} if step else ())
        return
    if step is None:
        names.faults.append("a node is named as nodes.ID.output")
        return
    names.nodes.add(step)
    width = 2 if _text(source, index + 1) == "." else 3
    if _step(source, index + 1 + width) != "output":
        names.faults.append(f"nodes.{step} has one field: nodes.{step}.output")


def _step(source: Sequence[Token], index: int) -> str | None:
    """The member that `.name` or `["name"]` at `index` selects."""
    window = [token.text for token in source[index : index + 3]]
    if len(window) >= 2 and window[0] == "." and source[index + 1].kind == "name" and window[2:3] != ["("]:
        return window[1]
    if len(window) == 3 and window[0] == "[" and source[index + 1].kind == "string" and window[2] == "]":
        text = window[1]
        return text[1:-1] if text[0] in "\"'" and "\\" not in text and not text.startswith(text[0] * 3) else None
    return None


def _text(source: Sequence[Token], index: int) -> str:
    return source[index].text if 0 <= index < len(source) else ""
