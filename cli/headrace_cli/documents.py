"""Blueprints and inputs as people write them: JSON or YAML, from a file or standard input, and the line of every part."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headrace_cli.errors import CliError

MAX_BYTES = 1024 * 1024
"""The edge takes no larger body."""
STDIN = Path("-")

Json = Any


class _Loader(yaml.SafeLoader):
    """YAML as JSON has it: a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Document:
    """An object that was read, and where from."""

    name: str
    value: dict[str, Json]
    root: yaml.Node | None
    """The text's nodes, None when its lines are not known."""

    def line(self, pointer: str) -> int | None:
        """The line of what a JSON pointer (RFC 6901) names, or of the deepest part of it that is there; from 1."""
        if self.root is None:
            return None
        node, line = self.root, self.root.start_mark.line
        for part in _parts(pointer):
            found = _inside(node, part)
            if found is None:
                break
            line, node = found
        return line + 1


def read(path: Path) -> Document:
    """Read an object; `-` is standard input. Raises `CliError` when there is none, or it is too large."""
    name = "standard input" if path == STDIN else str(path)
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if path == STDIN else _content(path)
        text = data.decode("utf-8")
        value = _parsed(text)
    except OSError as error:
        raise CliError(f"{name} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, RecursionError) as error:
        raise CliError(f"{name} is neither JSON nor YAML: {error}") from error
    if len(data) > MAX_BYTES:
        raise CliError(f"{name} is larger than {MAX_BYTES} bytes")
    if not isinstance(value, dict):
        raise CliError(f"{name} is not a JSON or YAML object", hint="`headrace workflow schema` has a blueprint's shape")
    return Document(name, value, _nodes(text))


def inputs(pairs: Sequence[str], file: Path | None) -> tuple[dict[str, Json], Document | None]:
    """A run's inputs: those of a file, and over them KEY=VALUE pairs. Raises `CliError`."""
    document = read(file) if file is not None else None
    return {**(document.value if document is not None else {}), **parse_pairs(pairs)}, document


def parse_pairs(pairs: Sequence[str]) -> dict[str, Json]:
    """Read KEY=VALUE pairs: `n=3` is a number, `name=Ada` a text. Raises `CliError` for anything else."""
    values: dict[str, Json] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise CliError(f"--input {pair!r} is not KEY=VALUE")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _parsed(text: str) -> Json:
    try:
        value = json.loads(text)  # JSON with tabs is no YAML
    except ValueError:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    json.dumps(value, allow_nan=False)
    return value


def _nodes(text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text.expandtabs(1), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return node


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _inside(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    """The line and the node of one key or place."""
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and len(part) < 6 and int(part) < len(node.value):
        return node.value[int(part)].start_mark.line, node.value[int(part)]
    return None


def places(blueprint: Document, given: Document | None) -> Mapping[str, Document]:
    """Which document the pointers of a validation's faults lead into, by their first part."""
    return {"/blueprint": blueprint, **({"/inputs": given} if given is not None else {})}
