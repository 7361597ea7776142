"""Request bodies about saved workflows."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from headrace_edge.bodies import Body, Identifier, Inputs, Priority, WorkflowName
from headrace_edge.pages.bodies import PageBody

Description = Annotated[str, StringConstraints(max_length=1000)]


class SavedBody(Body):
    """A blueprint to be kept."""

    blueprint: dict[str, Any] = Field(description="The whole blueprint.")
    description: Description = Field("", description="What it is for.")


class ValidateBody(Body):
    """A blueprint to be looked at, and inputs for it."""

    blueprint: dict[str, Any] = Field(description="The whole blueprint.")
    inputs: dict[str, Any] | None = Field(None, description="Absent: none are checked.")
    workflow_id: WorkflowName | None = Field(
        None, description="The id that it is to be saved under, so that a flow back to it is a fault."
    )


class StartBody(Body):
    """What a saved workflow is to be run with."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": {"class": "3B"}}]})

    inputs: Inputs = Field(default_factory=dict)
    session_id: Identifier | None = Field(None, description="The conversation to go on with; absent begins a new one.")
    priority: Priority | None = Field(None, description="Absent means `background`, and `interactive` for a stream.")

    def page(self, workflow_id: str) -> PageBody:
        """The same as a run of that workflow."""
        return PageBody(workflow_id=workflow_id, inputs=self.inputs, session_id=self.session_id, priority=self.priority)
