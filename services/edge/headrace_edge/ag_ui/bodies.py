"""AG-UI 1.0's RunAgentInput, as far as a run of ours can follow it. Validation only; no I/O."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from headrace_edge.bodies import MAX_RESUMED, HistoryBody, Identifier, Mode, Priority, ResumeEntry, Workspace, history
from headrace_edge.policy import Fault, Problem
from headrace_edge.problems import Refused

MAX_MESSAGES = 2048
"""Most messages of a request; the newest are read."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]


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
        parts = self.content if isinstance(self.content, list) else []
        texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
        return "".join(text for text in texts if isinstance(text, str))


class AgUiResume(_Part):
    """An answer to one interrupt."""

    interrupt_id: Id
    status: Literal["resolved", "cancelled"]
    payload: Any = None


class ForwardedProps(_Part):
    """What an application may ask of this server in particular."""

    mode: Mode = "auto"
    workspace: Workspace | None = None
    model: Identifier | None = None
    priority: Priority | None = None


class AgUiBody(_Part):
    """A request to run an agent. `tools`, `context` and `state` are the application's and are not used."""

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

    thread_id: Id = Field(description="A session's id goes on with it; any other begins one, which RUN_STARTED names.")
    run_id: Id = Field(description="Kept in the run's metadata; RUN_STARTED names the run's own.")
    messages: list[AgUiMessage] = Field(max_length=MAX_MESSAGES)
    forwarded_props: ForwardedProps | None = None
    resume: list[AgUiResume] | None = Field(None, max_length=MAX_RESUMED)

    def conversation(self, session_id: str | None) -> HistoryBody:
        """The conversation's body that it means. Raises Refused (422) when there is nothing to answer."""
        asked = self.forwarded_props or ForwardedProps()
        rest: dict[str, Any] = {
            **asked.model_dump(exclude_none=True),
            "session_id": session_id,
            "metadata": {"ag_ui": {"thread_id": self.thread_id, "run_id": self.run_id}},
        }
        if self.resume:
            answers = [ResumeEntry(**one.model_dump()) for one in self.resume]
            return HistoryBody(resume=answers, **rest)
        place = self._last_user_message()
        turns = ((one.role, one.text) for one in self.messages[:place])
        return HistoryBody(message=self.messages[place].text, history=history(turns), **rest)

    def _last_user_message(self) -> int:
        for place in range(len(self.messages) - 1, -1, -1):
            if self.messages[place].role == "user" and self.messages[place].text.strip():
                return place
        message = "needs a message of the role user that has a text"
        raise Refused(Problem(422, "INVALID_ARGUMENT", f"messages {message}", (Fault(("body", "messages"), message),)))
