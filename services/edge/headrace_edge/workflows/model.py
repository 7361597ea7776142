"""Saved workflows as the edge answers with them."""

from datetime import datetime
from typing import Any

from pydantic import Field

from headrace_edge.model import Answer


class WorkflowEntry(Answer):
    """A saved workflow, without its blueprint."""

    workflow_id: str
    name: str = Field(description="The blueprint's.")
    description: str
    revision: int = Field(
        description="1, 2, 3 …: it grows with each write, and none comes twice; in quotes it is the ETag."
    )
    inputs: dict[str, Any] = Field(description="JSON Schema of the inputs.")
    created_at: datetime
    updated_at: datetime


class Workflow(WorkflowEntry):
    """A saved workflow."""

    blueprint: dict[str, Any]


class BlueprintFault(Answer):
    """One thing wrong with a blueprint or its inputs."""

    pointer: str = Field(description="A JSON pointer into the request's body.")
    message: str
    hint: str = Field(description="What to do about it; may be empty.")


class Validity(Answer):
    """Whether a blueprint can be run."""

    valid: bool
    faults: list[BlueprintFault] = Field(description="All of them; none when it is valid.")
