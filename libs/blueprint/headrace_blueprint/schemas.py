"""JSON Schemas inside a blueprint: the inputs', a compose node's, and tools' arguments checked against theirs.

A user's schema stands alone and is cheap to check with: no `$ref` (which may fetch or never end), no regular expressions
(which Python may take for ever to match).
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from headrace_schemas import counted

from headrace_blueprint import metaschema, references
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.shapes import like, nearest

Path = tuple[str | int, ...]

MAX_VALUES = 2000
"""Most values that the schemas of one document have together."""
MAX_ARGUMENTS = 2000
"""Most values that the arguments of all tools have together."""
MAX_WORK = 30_000
"""Checks of all tools' arguments together, about two microseconds each. What is left then is checked when it is called."""
TYPO = 80.0
"""Percent of likeness from which an argument that an open schema does not name is taken for one that it names."""
MAX_LIST = 200
"""Longest list in a schema."""


class Schemas:
    """The schemas of one document. Their size is bounded together."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def faults(self, schema: Mapping[str, Any], at: Path) -> Iterator[Fault]:
        """What is wrong with a schema; `at` is its place in the document."""
        if self._left < 0:
            return  # said once
        values, longest = _extent(schema)
        self._left -= values
        if self._left < 0:
            yield Fault(pointer(at), f"the schemas have more than {MAX_VALUES} values together", "make them smaller")
        elif longest > MAX_LIST:
            yield Fault(pointer(at), f"a schema has a list of more than {MAX_LIST} items", "make it shorter")
        else:
            yield from _faults(schema, at)


def _extent(schema: Any) -> tuple[int, int]:
    """How many values a schema has, past the limit only that they are too many, and how long its longest list is."""
    values = longest = 0
    pending = [schema]
    while pending and values <= max(MAX_VALUES, MAX_ARGUMENTS):
        one = pending.pop()
        values += 1
        if isinstance(one, Mapping):
            pending.extend(one.values())
        elif isinstance(one, list):
            longest = max(longest, len(one))
            pending.extend(one)
    return values, longest


def _faults(schema: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    for path, message in metaschema.errors(schema):
        place = pointer((*at, *path))
        if message:
            yield Fault(place, f"not a JSON Schema: {message}")
        else:
            keyword = str(path[-1])
            yield Fault(place, f"{keyword} is not allowed here", metaschema.REFUSED[keyword])


class Arguments:
    """The arguments of one document's tools. Their size is bounded together."""

    def __init__(self, tools: Mapping[str, Mapping[str, Any]]) -> None:
        self._tools = tools
        self._left = MAX_ARGUMENTS
        self._work = counted.Work(MAX_WORK)

    def faults(self, tool: str, arguments: Mapping[str, Any], at: Path) -> Iterator[Fault]:
        """What is wrong with a known tool's arguments. What a reference brings in is not known yet and is passed over."""
        if self._left < 0:
            return  # said once
        self._left -= _extent(arguments)[0]
        if self._left < 0:
            yield Fault(pointer(at), f"the arguments have more than {MAX_ARGUMENTS} values together", "give fewer")
            return
        schema = dict(self._tools[tool])
        validator = counted.validator(schema)
        try:
            with suppress(counted.TooMuch):
                for error in counted.errors(validator, arguments, work=self._work, at_most=MAX_ARGUMENTS):
                    yield from _argument_faults(error, schema, arguments, at)
        except counted.UnusableSchema as error:
            yield Fault(pointer(at), f"the tool's own schema cannot be used ({error})", "mend the tool")
            return
        yield from _typos(schema, arguments, at)


def _argument_faults(
    error: counted.Error, schema: Mapping[str, Any], arguments: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    if error.validator == "additionalProperties" and error.instance is arguments:
        yield from _unknown(schema, arguments, at)
    elif error.validator == "required" or not references.has_mark(error.instance):
        yield Fault(pointer((*at, *error.absolute_path)), _message(error), _required_hint(error))


def properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema's properties; empty when there are none or they are malformed."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _unknown(schema: Mapping[str, Any], arguments: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    known = properties(schema)
    for name in arguments:
        if name not in known:
            yield Fault(pointer((*at, name)), f"there is no argument {name[:64]!r} here", nearest(name, known))


def _typos(schema: Mapping[str, Any], arguments: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    """Names that are nearly those of arguments, where the schema leaves open which there are, as MCP servers often do."""
    if "additionalProperties" in schema or "patternProperties" in schema:
        return
    known = properties(schema)
    left = sorted(known.keys() - arguments.keys())
    for name in arguments:
        if name not in known and (meant := like(name, left, TYPO)):
            yield Fault(pointer((*at, name)), f"there is no argument {name[:64]!r} here", f"did you mean {meant!r}?")


def _message(error: counted.Error) -> str:
    return error.message if len(error.message) <= 300 else f"{error.message[:300]}…"


def _required_hint(error: counted.Error) -> str:
    return "add it" if error.validator == "required" else ""
