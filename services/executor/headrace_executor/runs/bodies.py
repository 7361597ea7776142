"""The bodies that SubmitRun takes, by kind: size, depth, fields, models. Pure; docs/runs.md is its prose.

What a blueprint means, and whether what a body names is there, is found out by `resolution`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from headrace_blueprint.faults import pointer
from headrace_runtime.errors import InvalidArgument, Violation
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from headrace_executor.model import Priority, RunKind

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64
"""Deepest nesting of objects and lists in a body."""
MAX_VIOLATIONS = 100
"""Faults that one answer lists."""
MAX_SLOTS = 200
"""Slots of a page that a body brings."""
MAX_TURNS = 64
"""Earlier messages that a body may bring."""
MAX_RECALLED = 50
"""Memories that one answer is made with."""
MAX_RESUMED = 20
"""Answers to interrupts in one body."""
MAX_VERSION = 2**31 - 1
TITLE_CHARACTERS = 80
"""Of a new session, from the run's text."""

# Postgres' text cannot hold NUL, and a text of spaces asks nothing.
Text = Annotated[str, StringConstraints(min_length=1, max_length=32_768, pattern=r"\A[^\x00]*[^\s\x00][^\x00]*\z")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\A[^\x00]*\z")]
Names = Annotated[list[Name], Field(max_length=64)]
Id = Annotated[str, StringConstraints(max_length=64)]


class Body(BaseModel):
    """A JSON object whose fields are all known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TurnBody(Body):
    """An earlier message."""

    role: Literal["user", "assistant"]
    text: Text


class ResumeBody(Body):
    """An answer to what an earlier run of the session asked back."""

    interrupt_id: Name
    status: Literal["resolved", "cancelled"]
    payload: Any = None


class MemoryBody(Body):
    """How much of what the session remembers the answer may be made with."""

    top_k: Annotated[int, Field(ge=1, le=MAX_RECALLED)] = 5


Resume = Annotated[list[ResumeBody], Field(max_length=MAX_RESUMED)]


class ConversationBody(Body):
    """A message to be answered, or answers to what was asked back; then the message may be the one that was."""

    message: Text | None = None
    resume: Resume = []
    history: Annotated[list[TurnBody], Field(max_length=MAX_TURNS)] | None = None
    mode: Literal["", "auto", "chat", "qa", "build", "quiz"] = "auto"
    model: Annotated[str, StringConstraints(max_length=128)] = ""
    workspace: Annotated[str, StringConstraints(max_length=200)] = ""
    tools: Names = []
    sources: Names = []
    metadata: dict[str, Any] = {}
    execute: bool = True
    blueprint: dict[str, Any] | None = None
    memory: MemoryBody | None = None


class WorkflowBody(Body):
    """A prompt to be planned, or answers to what was asked back about one."""

    prompt: Text | None = None
    resume: Resume = []
    model: Annotated[str, StringConstraints(max_length=128)] = ""
    workspace: Annotated[str, StringConstraints(max_length=200)] = ""
    tools: Names = []
    sources: Names = []


class PageBody(Body):
    """A blueprint to be run, or the saved workflow that has it."""

    blueprint: dict[str, Any] | None = None
    workflow_id: Id = ""
    inputs: dict[str, Any] = {}


class SlotBody(Body):
    """A slot of a page; what else a reader was given with it does no harm."""

    model_config = ConfigDict(extra="ignore")

    slot: Name
    node: Name
    value: Any = None


class WholePage(Body):
    """A page as its reader has it."""

    model_config = ConfigDict(extra="ignore")

    blueprint: dict[str, Any]
    inputs: dict[str, Any] = {}
    slots: Annotated[list[SlotBody], Field(max_length=MAX_SLOTS)]


class PatchBody(Body):
    """A page to be changed by one sentence."""

    page_id: Id = ""
    version: Annotated[int, Field(ge=0, le=MAX_VERSION)] = 0
    page: WholePage | None = None
    instruction: Text
    model: Annotated[str, StringConstraints(max_length=128)] = ""


class QuizBody(ConversationBody):
    """A subject to be asked about."""


class DocumentBody(Body):
    """A document to be read."""

    document_id: Name
    title: Annotated[str, StringConstraints(max_length=512)] = ""
    text: Annotated[str, StringConstraints(min_length=1)]
    workspace: Annotated[str, StringConstraints(max_length=200)] = ""


SHAPES: Mapping[RunKind, type[Body]] = {
    RunKind.CONVERSATION: ConversationBody,
    RunKind.WORKFLOW: WorkflowBody,
    RunKind.PAGE: PageBody,
    RunKind.PATCH: PatchBody,
    RunKind.QUIZ: QuizBody,
    RunKind.DOCUMENT: DocumentBody,
}
"""The kinds that can be submitted."""
_PRIORITIES = {RunKind.CONVERSATION: Priority.INTERACTIVE, RunKind.DOCUMENT: Priority.BACKGROUND}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a valid body means to the queue and the session."""

    message: str | None
    """The user's words, None when there are none."""
    title: str
    """For a new session; empty when it is the workflow's."""
    body: Body


def default_priority(kind: RunKind) -> Priority:
    """The priority of a run whose request names none."""
    return _PRIORITIES.get(kind, Priority.STANDARD)


def check(kind: RunKind, data: bytes, *, models: Sequence[str]) -> Checked:
    """Check a body's shape. Raises InvalidArgument with a violation, a JSON pointer, for each fault."""
    shape = SHAPES[kind]
    document = _read(data)
    try:
        body = shape.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise _invalid([Violation(pointer(fault["loc"]), fault["msg"]) for fault in faults]) from None
    found = [*_unknown_models(body, models), *_contradictions(body)]
    if found:
        raise _invalid(found)
    return _meaning(body)


def _read(data: bytes) -> Any:
    if len(data) > MAX_BODY_BYTES:
        raise _invalid([Violation("body", f"at most {MAX_BODY_BYTES} bytes")])
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:  # orjson's own limit is 1024 levels
        raise _invalid([Violation("body", f"this is not JSON that can be read: {error}")]) from None
    if not isinstance(document, dict):
        raise _invalid([Violation("body", "must be a JSON object")])
    # Fewer brackets than levels are no depth at all; only the rest is walked.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _too_deep(document):
        raise _invalid([Violation("body", f"nested deeper than {MAX_DEPTH} levels")])
    return document


def _too_deep(document: Any) -> bool:
    """Whether a JSON value nests deeper than allowed. Goes level by level: it does not recurse."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for one in level
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def _unknown_models(body: Body, models: Sequence[str]) -> Sequence[Violation]:
    model = getattr(body, "model", "")
    if not model or model in models:
        return ()
    return (Violation("/model", f"no such model; there are {', '.join(models[:10])}"),)


def _contradictions(body: Body) -> Iterator[Violation]:
    """What of two fields only one may say, or at least one must."""
    match body:
        case ConversationBody(message=None, resume=[]):
            yield Violation("/message", "give a message, or resume with the answers to what was asked back")
        case WorkflowBody(prompt=None, resume=[]):
            yield Violation("/prompt", "give a prompt, or resume with the answers to what was asked back")
        case PageBody() if (body.blueprint is None) == (not body.workflow_id):
            yield Violation("/blueprint", "give either a blueprint or the workflow_id of a saved one")
        case PatchBody() if (body.page is None) == (not body.page_id):
            yield Violation("/page_id", "give either the page_id of a kept page or a whole page")
        case PatchBody(page=WholePage(), version=int(version)) if version:
            yield Violation("/version", "give it with a page_id; a page that the request brings along has no versions")
        case PatchBody(page=WholePage() as page):
            for index, slot in enumerate(page.slots):
                if isinstance(slot.value, dict) and slot.value.get("truncated") is True and "step" in slot.value:
                    text = "this value is only the beginning of a large one; give the page_id instead of the page"
                    yield Violation(pointer(("page", "slots", index, "value")), text)


def _meaning(body: Body) -> Checked:
    match body:
        case ConversationBody():
            return Checked(body.message, title(body.message or ""), body)
        case WorkflowBody():
            return Checked(body.prompt, title(body.prompt or ""), body)
        case PageBody():
            return Checked(None, title(str((body.blueprint or {}).get("name", ""))), body)
        case PatchBody():
            return Checked(body.instruction, title(body.instruction), body)
        case DocumentBody():
            return Checked(None, title(body.title), body)
        case _:
            return Checked(None, "", body)


def title(text: str) -> str:
    """What a session is called after a text."""
    words = " ".join(text.replace("\x00", " ").split())
    return words if len(words) <= TITLE_CHARACTERS else words[: TITLE_CHARACTERS - 1] + "…"


def _invalid(violations: Sequence[Violation]) -> InvalidArgument:
    shown = tuple(violations[:MAX_VIOLATIONS])
    first = shown[0]
    rest = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return InvalidArgument(f"{first.field}: {first.message}{rest}", violations=shown)
