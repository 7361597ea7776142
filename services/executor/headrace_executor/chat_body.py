"""OpenAI's chat completion request, as ChatService takes it, checked and read. Pure; docs/openai.md is its prose."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from headrace_blueprint.faults import pointer
from headrace_llm.client import Message, ToolCall
from headrace_runtime.errors import InvalidArgument, Violation
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

MAX_BODY_BYTES = 1024 * 1024
MAX_MESSAGES = 2048
MAX_TOOLS = 128
MAX_VIOLATIONS = 100
"""Faults that one answer lists."""
DEFAULT_TEMPERATURE = 1.0
"""OpenAI's, when the request names none."""


def _text(value: Any) -> Any:
    """OpenAI's content, a text or a list of text parts or nothing, as one text."""
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, list):
        raise PydanticCustomError("content", "must be a text or a list of text parts")
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise PydanticCustomError("content", "only parts of the type text are supported")
    return "".join(part["text"] for part in value)


class _Part(BaseModel):
    """What is not known is ignored, as by OpenAI-compatible servers everywhere."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Function(_Part):
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    arguments: str


class _Call(_Part):
    id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    type: Literal["function"] = "function"
    function: _Function


class _Message(_Part):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, BeforeValidator(_text)] = ""
    tool_calls: Annotated[list[_Call], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "_Message":
        if self.role == "tool" and self.tool_call_id is None:
            raise PydanticCustomError("tool", "a tool's message needs a tool_call_id")
        return self

    def plain(self) -> Message:
        calls = self.tool_calls or () if self.role == "assistant" else ()
        return Message(
            "system" if self.role == "developer" else self.role,
            self.content,
            tuple(ToolCall(one.id, one.function.name, one.function.arguments) for one in calls),
            self.tool_call_id or "" if self.role == "tool" else "",
        )


class _ToolFunction(_Part):
    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    parameters: dict[str, Any] | None = None


class _Tool(_Part):
    type: Literal["function"]
    function: _ToolFunction


class _Schema(_Part):
    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    # pydantic has a method of the plain name.
    schema_: Annotated[dict[str, Any], Field(alias="schema")] = {}


class _Form(_Part):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None

    @model_validator(mode="after")
    def _whole(self) -> "_Form":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise PydanticCustomError("form", "json_schema belongs to the type json_schema, and must be given for it")
        return self


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _choice(value: Any) -> Any:
    if value is None or isinstance(value, dict) or value in ("none", "auto", "required"):
        return value
    raise PydanticCustomError("choice", "must be none, auto, required or an object that names a function")


Rate = Annotated[float, Field(ge=-2, le=2)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Options(_Part):
    """What is passed on to the model as it is, where it is given."""

    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: Annotated[list[Word], Field(max_length=16), BeforeValidator(_listed)] | None = None
    seed: int | None = None
    frequency_penalty: Rate | None = None
    presence_penalty: Rate | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=1024)] | None = None
    user: Annotated[str, StringConstraints(max_length=256)] | None = None
    tool_choice: Annotated[Any, BeforeValidator(_choice)] = None
    parallel_tool_calls: bool | None = None
    response_format: _Form | None = None
    reasoning_effort: Annotated[str, StringConstraints(max_length=32)] | None = None


class _Body(Options):
    messages: Annotated[list[_Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: Annotated[list[_Tool], Field(max_length=MAX_TOOLS)] | None = None


@dataclass(frozen=True, slots=True)
class ChatBody:
    """A request in the model library's nouns."""

    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int | None
    tools: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any]


def read(data: bytes) -> ChatBody:
    """Read a request. Raises InvalidArgument with a violation, a JSON pointer, for each fault."""
    if len(data) > MAX_BODY_BYTES:
        raise _invalid([Violation("body", f"at most {MAX_BODY_BYTES} bytes")])
    try:
        body = _Body.model_validate(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise _invalid([Violation("body", f"this is not JSON that can be read: {error}")]) from None
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise _invalid([Violation(pointer(fault["loc"]), fault["msg"]) for fault in faults]) from None
    given = body.model_dump(exclude_none=True, by_alias=True)
    return ChatBody(
        messages=tuple(message.plain() for message in body.messages),
        temperature=DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        tools=tuple(given.get("tools", ())),
        options={name: given[name] for name in Options.model_fields if name in given},
    )


def _invalid(violations: list[Violation]) -> InvalidArgument:
    first = violations[0]
    rest = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return InvalidArgument(f"{first.field}: {first.message}{rest}", violations=tuple(violations[:MAX_VIOLATIONS]))
