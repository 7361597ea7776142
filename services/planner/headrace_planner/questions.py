"""The question for a plan, and the one for a better plan. Pure. Short: small models have two to four thousand tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace_blueprint.faults import Fault
from headrace_blueprint.tools import Tool
from headrace_llm.client import Message

from headrace_planner import policy
from headrace_planner.library import Library
from headrace_planner.model import Brief, Request

CHARS_PER_TOKEN = 2
"""A careful guess over languages: English has four, Chinese one or two."""
MAX_REQUEST_CHARS = 4_000
LEAST_REQUEST_CHARS = 400
"""What is asked even of a model whose context seems too small for it."""
MAX_TURN_CHARS = 400
TURNS = 2
"""How many of the last turns a plan may need to be understood."""
MAX_STRING = 200
"""Longest string of a tool's argument in a draft. A grammar's size grows with it."""


def brief(library: Library, tools: tuple[Tool, ...]) -> Brief:
    """What the model is told, whatever the request says."""
    lines = "\n".join(
        f"  {tool.name} {{{', '.join(tool.input_schema['properties'])}}}: {tool.description}" for tool in tools
    )
    text = library.plan_prompt.replace("{tools}", lines or "  (there are none)")
    return Brief(text, _schema(library.draft_schema, tools), tools)


def first(brief_: Brief, request: Request, *, context_tokens: int, max_tokens: int) -> tuple[Message, ...]:
    """The question for a plan, cut to what the model can read beside its answer."""
    room = (context_tokens - max_tokens) * CHARS_PER_TOKEN - len(brief_.instructions)
    room = max(LEAST_REQUEST_CHARS, min(room, MAX_REQUEST_CHARS))
    said = [f"{turn.role}: {turn.text[:MAX_TURN_CHARS]}" for turn in request.history[-TURNS:]]
    earlier = "Said before:\n" + "\n".join(said) + "\n\n" if said and room > 2 * TURNS * MAX_TURN_CHARS else ""
    question = f"{earlier}Request:\n{request.message[: room - len(earlier)]}"
    return Message("system", brief_.instructions), Message("user", question)


def again(question: Sequence[Message], draft: str, faults: Sequence[Fault], *, library: Library) -> tuple[Message, ...]:
    """The question with the last draft and what is wrong with it; earlier drafts are left out."""
    wrong = library.repair_prompt.replace("{faults}", policy.shown(faults))
    return (*question, Message("assistant", draft), Message("user", wrong))


def _schema(base: Mapping[str, Any], tools: Sequence[Tool]) -> Mapping[str, Any]:
    """The draft's schema with a kind of data node for each tool, so that a grammar holds the arguments too."""
    nodes = base["properties"]["nodes"]
    id_ = nodes["items"]["anyOf"][0]["properties"]["id"]
    kinds = [*nodes["items"]["anyOf"], *(_data_node(tool, id_) for tool in tools)]
    return {**base, "properties": {**base["properties"], "nodes": {**nodes, "items": {"anyOf": kinds}}}}


def _data_node(tool: Tool, id_: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = dict(tool.input_schema)
    arguments["properties"] = {name: _short(one) for name, one in arguments["properties"].items()}
    return {
        "type": "object",
        "properties": {
            "id": id_,
            "kind": {"const": "data"},
            "tool": {"const": tool.name},
            "args": arguments,
        },
        "required": ["id", "kind", "tool", "args"],
        "additionalProperties": False,
    }


def _short(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**schema, "maxLength": min(schema["maxLength"], MAX_STRING)} if "maxLength" in schema else schema
