"""References in JSON values: `${inputs.x}`, `${nodes.a.output.b[0].c}`, `${item}`. Finds them and resolves them.

A string that is one reference and nothing else stands for the value itself. In a longer string each reference becomes text:
a string as it is, anything else as JSON. What a reference brought in is never searched again. `$${` writes a plain `${`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import orjson

Json = Any
_Link = tuple[Any, str | int] | None
"""A path from its end: what leads to the last part, and that."""

MAX_RESOLVED = 4 * 1024 * 1024
"""Most characters that the strings of one resolved value may have together."""
MAX_DEPTH = 200
"""Deepest value that `resolve` walks. A blueprint's own depth is far less; `validation` sees to it."""

MAX_PATH = 500
"""Longest reference, in characters."""
PARSED = 4096
"""How many parsed references a process keeps: a blueprint's are read when it is checked, planned and run."""
_MARK = re.compile(r"\$\$\{|\$\{[^{}$]*\}?")
_PATH = re.compile(r"(?P<root>[A-Za-z_]\w*)(?P<steps>(?:\.[A-Za-z_][\w-]*|\[\d{1,6}\])*)\Z", re.ASCII)
_ESCAPED = "$${"
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class MalformedReference(ValueError):
    """`${` begins something that is no reference."""


class MissingReference(LookupError):
    """A reference names something that is not there."""


class ResolvedTooLarge(ValueError):
    """References brought in more text than `MAX_RESOLVED`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference: `nodes`, (`a`, `output`, `b`, 0)."""

    root: str
    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps)
        return f"${{{self.root}{steps}}}"

    @property
    def node(self) -> str | None:
        """The node that it needs."""
        return str(self.steps[0]) if self.root == "nodes" and self.steps else None


def parse(path: str) -> Reference:
    """Parse what stands between `${` and `}`. Raises MalformedReference."""
    match = _PATH.match(path.strip())
    if match is None:
        raise MalformedReference(f"{path[:80]!r} is not a reference")
    steps = tuple(int(index) if index else name for name, index in _STEP.findall(match["steps"]))
    return Reference(match["root"], steps)


@lru_cache(maxsize=PARSED)
def read(mark: str) -> Reference:
    """Parse a reference as a string has it, its braces included. Raises MalformedReference."""
    if len(mark) > MAX_PATH:
        raise MalformedReference(f"{mark[:80]!r}… has more than {MAX_PATH} characters, or no closing brace")
    if not mark.endswith("}"):
        raise MalformedReference(f"{mark[:80]!r} has no closing brace")
    return parse(mark[2:-1])


def in_text(text: str) -> Iterator[Reference]:
    """The references of one string, each once, in order. Raises MalformedReference at the first that is none."""
    return map(read, marks(text))


def marks(text: str) -> Mapping[str, None]:
    """What begins like a reference in one string, as it is written, each once, in order."""
    if "${" not in text:
        return {}
    found: dict[str, None] = dict.fromkeys(_MARK.findall(text))
    found.pop(_ESCAPED, None)
    return found


def is_reference(text: str) -> bool:
    """Whether the string is exactly one reference, well-formed or not."""
    return text != _ESCAPED and _MARK.fullmatch(text) is not None


def literal(text: str) -> str:
    """Write a text so that it holds no reference and resolves to itself."""
    return text.replace("${", "$${")


def strings(value: Json) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string of a JSON value with its path. Of any depth: it does not recurse."""
    pending: list[tuple[tuple[str | int, ...], Json]] = [((), value)]
    while pending:
        path, one = pending.pop()
        if isinstance(one, str):
            yield path, one
        elif isinstance(one, Mapping):
            pending.extend(((*path, str(key)), item) for key, item in reversed(list(one.items())))
        elif isinstance(one, list):
            pending.extend(((*path, index), one[index]) for index in range(len(one) - 1, -1, -1))


def marked(value: Json) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Those strings of a JSON value that have a `${`, with their paths, in order. Of any depth: it does not recurse."""
    pending: list[tuple[_Link, Json]] = [(None, value)] if not isinstance(value, str) or "${" in value else []
    while pending:
        link, one = pending.pop()
        if isinstance(one, str):
            yield _path(link), one
        elif isinstance(one, dict | list):
            items = one.items() if isinstance(one, dict) else enumerate(one)
            pending.extend(reversed([((link, key), item) for key, item in items if _may_refer(item)]))


def _may_refer(value: Json) -> bool:
    return "${" in value if isinstance(value, str) else isinstance(value, dict | list)


def _path(link: _Link) -> tuple[str | int, ...]:
    parts: list[str | int] = []
    while link is not None:
        link, part = link
        parts.append(part)
    return tuple(reversed(parts))


def has_mark(value: Json) -> bool:
    """Whether a `${` is anywhere in a JSON value."""
    return any("${" in text for text in _texts(value))


def references(value: Json) -> Iterator[Reference]:
    """Every reference of a JSON value. Raises MalformedReference."""
    for text in _texts(value):
        yield from in_text(text)


def needs(value: Json) -> frozenset[str]:
    """Ids of the nodes that a JSON value refers to. Raises MalformedReference."""
    return frozenset(node for reference in references(value) if (node := reference.node) is not None)


def _texts(value: Json) -> Iterator[str]:
    """Every string of a JSON value, level by level: cheaper than one by one, for what has no reference is the most."""
    level: list[Json] = [value]
    while level:
        yield from (one for one in level if isinstance(one, str))
        objects = (one.values() for one in level if isinstance(one, dict))
        lists = (one for one in level if isinstance(one, list))
        level = [*chain.from_iterable(objects), *chain.from_iterable(lists)]


def lookup(reference: Reference, scope: Mapping[str, Json]) -> Json:
    """The value that a reference stands for. Raises MissingReference."""
    if reference.root not in scope:
        raise MissingReference(f"{reference}: there is no {reference.root!r} here")
    value: Json = scope[reference.root]
    for depth, step in enumerate(reference.steps):
        try:
            if isinstance(step, int) != isinstance(value, list):
                raise KeyError(step)
            value = value[step]
        except (LookupError, TypeError):
            found = Reference(reference.root, reference.steps[:depth])
            raise MissingReference(f"{reference}: {found} has no {_shown(step)}") from None
    return value


def resolve(value: Json, scope: Mapping[str, Json]) -> Json:
    """A copy of `value` with its references replaced from `scope`: {"inputs": …, "nodes": {id: {"output": …}}, "item": …}.

    Raises MissingReference, MalformedReference and ResolvedTooLarge.
    """
    return _Resolution(scope).value(value, 0)


class _Resolution:
    """One call of `resolve`; counts the text that it made."""

    def __init__(self, scope: Mapping[str, Json]) -> None:
        self._scope = scope
        self._left = MAX_RESOLVED

    def value(self, value: Json, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise ResolvedTooLarge(f"the value is more than {MAX_DEPTH} levels deep")
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, Mapping):
            return {key: self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, depth + 1) for item in value]
        return value

    def _string(self, text: str) -> Json:
        if "${" not in text:
            return text
        if is_reference(text):
            return lookup(read(text), self._scope)
        return _MARK.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        if match[0] == _ESCAPED:
            return "${"
        value = lookup(read(match[0]), self._scope)
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        self._left -= len(text)
        if self._left < 0:
            raise ResolvedTooLarge(f"references bring in more than {MAX_RESOLVED} characters")
        return text


def _shown(step: str | int) -> str:
    return f"item {step}" if isinstance(step, int) else repr(step)
