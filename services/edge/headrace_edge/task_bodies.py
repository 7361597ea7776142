"""What POST /api/tasks takes: any other body that starts a run, with its kind."""

from typing import Annotated, Literal

from pydantic import Field

from headrace_edge.bodies import ConversationBody, WorkflowBody
from headrace_edge.pages.bodies import PageBody, PatchBody


class ConversationTask(ConversationBody):
    """A conversation that nobody waits for."""

    kind: Literal["conversation"]


class WorkflowTask(WorkflowBody):
    """A plan that nobody waits for."""

    kind: Literal["workflow"]


class PageTask(PageBody):
    """A page that nobody waits for."""

    kind: Literal["page"]


class PatchTask(PatchBody):
    """A page's change that nobody waits for."""

    kind: Literal["patch"]


class QuizTask(ConversationBody):
    """A quiz on the message's subject that nobody waits for."""

    kind: Literal["quiz"]


TaskBody = Annotated[ConversationTask | WorkflowTask | PageTask | PatchTask | QuizTask, Field(discriminator="kind")]
