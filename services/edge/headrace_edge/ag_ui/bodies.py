"""AG-UI 1.0's RunAgentInput, as far as a run of ours can follow it. Validation only; no I/O."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from headrace_edge.ag_ui import context
from headrace_edge.ag_ui.context import ContextItem
from headrace_edge.bodies import (
    MAX_RESUMED,
    HistoryBody,
    Identifier,
    Mode,
    Priority,
    ResumeEntry,
    ToolNames,
    Workspace,
    history,
)
from headrace_edge.policy import Fault, Problem, Refused

MAX_MESSAGES = 2048
"""Most messages of a request; the newest are read."""
MAX_TOOLS = 256
MAX_NAMED = 10
"""Frontend tools that a warning names."""

# Postgres' text, in which a thread is kept, cannot hold NUL.
Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class _Part(BaseModel):
    """Known fields are checked, others ignored: the protocol grows."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class AgUiMessage(_Part):
    """One turn."""

    role: str
    content: Any = None

    @property
    def text(self) -> str:
        """What it says; images and files say nothing here."""
        if isinstance(self.content, str):
            return self.content
        texts = (part.get("text") for part in self._parts() if part.get("type") == "text")
        return "".join(text for text in texts if isinstance(text, str))

    @property
    def unread(self) -> list[str]:
        """The kinds of its parts that say nothing here."""
        return sorted({str(part.get("type")) for part in self._parts()} - {"text"})

    def _parts(self) -> list[dict[str, Any]]:
        return [part for part in self.content if isinstance(part, dict)] if isinstance(self.content, list) else []


class AgUiResume(_Part):
    """An answer to one interrupt."""

    interrupt_id: Id
    status: Literal["resolved", "cancelled"]
    payload: Any = None


class AgUiTool(_Part):
    """A tool that the application itself offers."""

    name: str


class ForwardedProps(_Part):
    """What an application may ask of this server in particular."""

    mode: Mode = "auto"
    workspace: Workspace | None = None
    model: Identifier | None = None
    priority: Priority | None = None
    tools: ToolNames = None
    cancel_on_disconnect: bool = Field(False, description="Whether closing the stream cancels the run; else it goes on.")


class AgUiBody(_Part):
    """A request to run an agent. `tools` and `state` are the application's and are not used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "threadId": "t1",
                    "runId": "r1",
                    "messages": [{"id": "m1", "role": "user", "content": "What does a headrace do?"}],
                }
            ]
        }
    )

    thread_id: Id = Field(
        description="The application's name of the conversation, or a session's id; a new name begins one"
    )
    run_id: Id = Field(description="Named by the events; the run's own id is in RUN_STARTED's metadata and X-Run-ID.")
    messages: list[AgUiMessage] = Field(
        max_length=MAX_MESSAGES,
        description="The whole conversation: the last user message is answered, those before are read.",
    )
    context: list[ContextItem] = Field([], max_length=context.MAX_ITEMS, description="Told to the model with the history.")
    tools: list[AgUiTool] = Field([], max_length=MAX_TOOLS, description="Not called; a `headrace.warning` says so.")
    forwarded_props: ForwardedProps | None = None
    resume: list[AgUiResume] | None = Field(None, max_length=MAX_RESUMED)

    @property
    def asked(self) -> ForwardedProps:
        """What is asked of this server in particular."""
        return self.forwarded_props or ForwardedProps()

    def conversation(self, session_id: str | None) -> HistoryBody:
        """The conversation's body that it means. Raises Refused (422) when there is nothing to answer."""
        rest: dict[str, Any] = {
            **self.asked.model_dump(exclude_none=True, exclude={"cancel_on_disconnect"}),
            "session_id": session_id,
            "metadata": {"ag_ui": {"thread_id": self.thread_id, "run_id": self.run_id}},
        }
        answers = [ResumeEntry(**one.model_dump()) for one in self.resume or ()]
        place = self._last_user_message()
        if any(one.status == "resolved" for one in answers) or (answers and place is None):
            return HistoryBody(resume=answers, **rest)
        if place is None:
            message = "needs a message of the role user that has a text"
            raise Refused(Problem(422, "INVALID_ARGUMENT", f"messages {message}", (Fault(("body", "messages"), message),)))
        turns = history((one.role, one.text) for one in self.messages[:place])
        told, _ = context.turn(self.context)
        said = {"message": self.messages[place].text, "history": [*turns, *told]}
        return HistoryBody(resume=answers or None, **said, **rest)

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """What of the request has none, each a code and a text."""
        if self.tools:
            names = [tool.name[:64] for tool in self.tools[:MAX_NAMED]]
            more = f" and {len(self.tools) - MAX_NAMED} more" if len(self.tools) > MAX_NAMED else ""
            yield "frontend_tools", f"the application's own tools are not called: {', '.join(names)}{more}"
        _, left_out = context.turn(self.context)
        if left_out:
            text = f"{left_out} of {len(self.context)} entries of context are left out"
            yield "context_cut", f"{text}: the model is told at most {context.MAX_CHARACTERS} characters"
        place = self._last_user_message()
        unread = self.messages[place].unread if place is not None else []
        if unread:
            yield "content_parts", f"of the message only its text is read, not its {', '.join(unread)}"

    def _last_user_message(self) -> int | None:
        for place in range(len(self.messages) - 1, -1, -1):
            if self.messages[place].role == "user" and self.messages[place].text.strip():
                return place
        return None
