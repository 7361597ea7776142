"""Reads a CEL source as tokens to say which names it uses and how deeply its loops nest.

It parses nothing: only what the engine has accepted is believed, and for that tokens are enough.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
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
_NAME = r"(?![rRbB]{1,2}[\"'])[A-Za-z_]\w*"
_TOKEN = re.compile(
    rf"""(?P<name>{_NAME})|(?P<skip>\s+|//[^\n]*)|(?P<number>{_NUMBER})|(?P<string>{_RAW}|{_ESCAPED})|(?P<mark>.)""",
    re.DOTALL | re.ASCII,
)


class Token(NamedTuple):
    """One token: string, number, name or mark."""

    kind: str
    text: str


_token = Token._make
_NOTHING = (Token("", ""),) * 8
"""Behind the last token, and so before the first: what looks a few tokens ahead or back finds it there."""


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
    found: list[Token] = []
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup
        if kind != "skip":
            found.append(_token((kind, match[0])))
            if len(found) == at_most:
                break
    return found


def weight(source: Sequence[Token]) -> int:
    """What the engine's parser takes for a source, in tokens: at a minus, which may begin a number, it reads far ahead."""
    return len(source) + MINUS * sum(text == "-" for _, text in source)


def nesting(source: Sequence[Token]) -> int:
    """An upper bound of how deep a parser recurses: open brackets, and conditionals, which nest without any."""
    marks = [text for kind, text in source if kind == "mark"]
    depths = accumulate((mark in "([{") - (mark in ")]}") for mark in marks)
    return max(depths, default=0) + marks.count("?")


def scan(source: Sequence[Token]) -> Names:
    """Collect the names of an expression."""
    names = Names()
    # One for each open bracket: the loop variable that it binds, "" for a macro's without one.
    scopes: list[str | None] = []
    padded = [*source, *_NOTHING]
    for index, (kind, text) in enumerate(source):
        if kind == "name":
            if text not in LITERALS:
                _name(names, padded, index, scopes)
        elif kind == "mark" and text in "([{":
            scopes.append(_loop_variable(padded, index))
            names.loops = max(names.loops, sum(scope is not None for scope in scopes))
            if scopes[-1]:
                names.bound.add(scopes[-1])
        elif kind == "mark" and text in ")]}" and scopes:
            scopes.pop()
    return names


def _loop_variable(source: Sequence[Token], index: int) -> str | None:
    if source[index].text != "(" or source[index - 1].text not in MACROS:
        return None
    variable, comma = source[index + 1], source[index + 2]
    return variable.text if variable.kind == "name" and comma.text == "," else ""


def _name(names: Names, source: Sequence[Token], index: int, scopes: Sequence[str | None]) -> None:
    text = source[index].text
    called = source[index + 1].text == "("
    if source[index - 1].text == ".":
        if called and text not in MACROS:
            before = source[index - 2].text
            namespaced = before in NAMESPACES and source[index - 3].text != "."
            names.functions.add(f"{before}.{text}" if namespaced else text)
    elif called:
        if text not in MACROS:
            names.functions.add(text)
    elif text not in scopes and not (text in NAMESPACES and source[index + 1].text == "."):
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
    width = 2 if source[index + 1].text == "." else 3
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
