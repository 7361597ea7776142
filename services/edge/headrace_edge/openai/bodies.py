"""Chat completion requests: what the edge itself needs of them, and what it refuses. The executor checks the rest."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

PIPELINE = "headrace"
"""The model's name that means a run of the whole pipeline."""
MAX_MESSAGES = 2048


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


def _only(*allowed: Any, instead: str) -> BeforeValidator:
    """Refuses what would change the answer and cannot be done."""

    def check(value: Any) -> Any:
        if value not in allowed:
            raise PydanticCustomError("unsupported", instead)
        return value

    return BeforeValidator(check)


class ChatMessage(BaseModel):
    """One turn."""

    model_config = ConfigDict(extra="allow", frozen=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, BeforeValidator(_text, json_schema_input_type=str | list[dict[str, Any]] | None)] = ""


class StreamOptions(BaseModel):
    """How a stream is to be."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: bool = False


class ChatBody(BaseModel):
    """A chat completion request. Fields that are not known are ignored."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={"examples": [{"model": "headrace", "messages": [{"role": "user", "content": "Say hello."}]}]},
    )

    model: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="A model of GET /v1/models; `headrace` runs the whole pipeline."
    )
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[Any, _only(None, 1, instead="only one answer at a time is supported")] = None
    logprobs: Annotated[Any, _only(None, False, instead="log probabilities are not supported")] = None
    top_logprobs: Annotated[Any, _only(None, 0, instead="log probabilities are not supported")] = None
    modalities: Annotated[Any, _only(None, ["text"], instead="only text is supported")] = None
    audio: Annotated[Any, _only(None, instead="only text is supported")] = None
    functions: Annotated[Any, _only(None, [], instead="functions are not supported; use tools")] = None
    function_call: Annotated[Any, _only(None, instead="functions are not supported; use tools")] = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream's last chunk tells the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    def for_executor(self) -> bytes:
        """The same request as ChatService takes it."""
        return orjson.dumps(self.model_dump(exclude={"model", "stream", "stream_options"}, exclude_unset=True))

    def may_be_cached(self, *, allowed: bool | None) -> bool:
        """Whether an earlier answer may serve, so that it may need no quota; `allowed` is the client's wish."""
        given = self.model_extra or {}
        usual = given.get("temperature") == 0 and not given.get("tools")
        return usual if allowed is None else allowed

    def last_user_message(self) -> tuple[int, str | None]:
        """The newest turn of the user, with its place; None when there is none."""
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index].role == "user":
                return index, self.messages[index].content
        return 0, None

    def needs_a_model(self) -> list[str]:
        """Fields that only a model that is asked directly can satisfy."""
        given = self.model_extra or {}
        form = given.get("response_format")
        form_needed = isinstance(form, dict) and form.get("type") != "text"
        call_needed = given.get("tool_choice") not in (None, "none", "auto")
        needs = (("tools", given.get("tools")), ("tool_choice", call_needed), ("response_format", form_needed))
        return [name for name, needed in needs if needed]
