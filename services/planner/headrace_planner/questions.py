"""The question for a plan, and the one for a better plan. Pure. Short: small models have two to four thousand tokens."""

from collections.abc import Sequence

from headrace_blueprint import schemas
from headrace_blueprint.faults import Fault
from headrace_blueprint.tools import Tool
from headrace_llm.client import Message

from headrace_planner import draft_schema, policy
from headrace_planner.draft_schema import Language
from headrace_planner.library import Library
from headrace_planner.model import Brief, Request, Turn

CHARS_PER_TOKEN = 2
"""A careful guess over languages: English has four, Chinese one or two."""
MAX_REQUEST_CHARS = 4_000
LEAST_REQUEST_CHARS = 400
"""What is asked even of a model whose context seems too small for it."""
MAX_TURN_CHARS = 400
TURNS = 2
"""How many of the last turns a plan may need to be understood."""
MAX_DESCRIPTION_CHARS = 160
"""How much of a tool's description a model is told."""
MAX_ARGUMENTS = 12
"""How many of a tool's arguments a model is told."""
MAX_ENTITY_CHARS = 60
"""How much of an entity's name in the message a model is told."""

NO_ANSWER = "(no answer)"
"""What stands for an empty draft: some providers refuse a message without content."""


def brief(library: Library, tools: Sequence[Tool], language: Language) -> Brief:
    """What the model is told, whatever the request says."""
    lines = "\n".join(f"  {_tool(tool)}" for tool in tools)
    text = library.plan_prompts[language].replace("{tools}", lines or "  (there are none)")
    return Brief(text, draft_schema.schema(language, tools))


def first(brief_: Brief, request: Request, *, context_tokens: int, max_tokens: int) -> tuple[Message, ...]:
    """The question for a plan, cut to what the model can read beside its answer."""
    room = (context_tokens - max_tokens) * CHARS_PER_TOKEN - len(brief_.instructions)
    room = max(LEAST_REQUEST_CHARS, min(room, MAX_REQUEST_CHARS))
    records = _records(request)
    said = [f"{role}: {text}" for role, text in told(request.history)]
    earlier = "Said before:\n" + "\n".join(said) + "\n\n" if said and room > 2 * TURNS * MAX_TURN_CHARS else ""
    question = (
        f"{earlier}{records}Request:\n{request.message[: max(LEAST_REQUEST_CHARS, room - len(earlier) - len(records))]}"
    )
    return Message("system", brief_.instructions), Message("user", question)


def told(history: Sequence[Turn]) -> Sequence[tuple[str, str]]:
    """What a model is told of earlier messages at most: who said what."""
    return [(turn.role, turn.text[:MAX_TURN_CHARS]) for turn in history[-TURNS:]]


def again(question: Sequence[Message], draft: str, faults: Sequence[Fault], *, prompt: str) -> tuple[Message, ...]:
    """The question with the last draft and what is wrong with it; earlier drafts are left out."""
    wrong = prompt.replace("{faults}", policy.shown(faults))
    return (*question, Message("assistant", draft or NO_ANSWER), Message("user", wrong))


def _tool(tool: Tool) -> str:
    """NAME {required, optional?}: description, on one line."""
    required = set(tool.input_schema.get("required", ()))
    names = [name if name in required else f"{name}?" for name in schemas.properties(tool.input_schema)]
    more = ", …" if len(names) > MAX_ARGUMENTS else ""
    description = " ".join(tool.description.split())[:MAX_DESCRIPTION_CHARS]
    return f"{tool.name} {{{', '.join(names[:MAX_ARGUMENTS])}{more}}}: {description}"


def _records(request: Request) -> str:
    """The records that the request speaks of, as a plan names them."""
    if not request.entities:
        return ""
    lines = [f"- ${{{one.path}.id}} and ${{{one.path}.name}}: {one.text[:MAX_ENTITY_CHARS]!r}" for one in request.entities]
    return (
        "Records that the request speaks of; write these references, never an id or a name:\n" + "\n".join(lines) + "\n\n"
    )
