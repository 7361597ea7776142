"""The nouns of a change. Plain data; no I/O, no protobuf."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace_blueprint.model import Blueprint, Slot
from headrace_blueprint.tools import Tool
from headrace_llm.call_context import NO_CONTEXT, CallContext
from headrace_llm.usage import Usage

from headrace_planner.model import Json, Origin

MAX_PREVIEW_CHARS = 400
"""How much of a slot's value a model is shown."""

MAX_TITLE = 60
"""Longest title that a change gives, in characters."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page was made of. `document` and `blueprint` are the same, valid, with a layout."""

    document: Mapping[str, Json]
    blueprint: Blueprint
    inputs: Mapping[str, Json]

    @property
    def layout(self) -> Sequence[Slot]:
        """Its slots, in order."""
        return self.blueprint.layout or ()


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """A page, and the sentence that changes it."""

    tenant_id: str
    page: Page
    instruction: str
    previews: Mapping[str, str] = field(default_factory=dict)
    """The beginning of what fills a slot, by slot."""
    model: str = ""
    """Registry model that maps the sentence; "" means the planner's."""
    tools: Sequence[Tool] = ()
    """Every tool that there is."""
    warnings: tuple[str, ...] = ()
    """What was left out of the request when it was read."""
    context: CallContext = NO_CONTEXT


@dataclass(frozen=True, slots=True)
class Addition:
    """A section to be written."""

    title: str
    prompt: str
    after: str = ""
    """The slot that it follows; "" means that it is the last."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a sentence asks for, slot by slot."""

    rewrite: Sequence[str] = ()
    remove: Sequence[str] = ()
    add: Sequence[Addition] = ()
    inputs: Mapping[str, Json] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    """New titles, by slot; what is shown under them stays as it is."""


@dataclass(frozen=True, slots=True)
class Patched:
    """The changed blueprint and what is to be run of it."""

    document: Mapping[str, Json]
    inputs: Mapping[str, Json]
    nodes: tuple[str, ...]
    """To run again, in the order of the plan."""
    rewritten: tuple[str, ...]
    """Slots of compose nodes whose prompt has the sentence, and of flows, whose own nodes are told it when they run."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A change and where it came from."""

    patched: Patched
    origin: Origin
    warnings: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
