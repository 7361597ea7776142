"""Request bodies about pages."""

from typing import Annotated, Any

import orjson
from pydantic import ConfigDict, Field, model_validator

from headrace_edge.bodies import Body, Identifier, Inputs, RunBody, Text, WorkflowName

MAX_VERSION = 2**31 - 1

Version = Annotated[int, Field(ge=1, le=MAX_VERSION)]


class PageBody(RunBody):
    """A blueprint to be run, given or saved."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "blueprint": {
                        "version": 1,
                        "name": "sum",
                        "inputs": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
                        "nodes": [{"id": "sum", "kind": "compute", "expr": "inputs.a + inputs.b"}],
                        "output": "${nodes.sum.output}",
                    },
                    "inputs": {"a": 1, "b": 2},
                },
                {"workflow_id": "class-report", "inputs": {"class": "3B"}},
            ]
        }
    )

    blueprint: dict[str, Any] | None = Field(None, description="The whole blueprint.")
    workflow_id: WorkflowName | None = Field(None, description="Or a saved one, as it is when the run is accepted.")
    inputs: Inputs = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> "PageBody":
        if (self.blueprint is None) == (self.workflow_id is None):
            raise ValueError("give blueprint or workflow_id, and not both")
        return self

    def run_body(self, *, execute: bool) -> bytes:
        """The run's body."""
        what = {"workflow_id": self.workflow_id} if self.blueprint is None else {"blueprint": self.blueprint}
        return orjson.dumps({**what, "inputs": self.inputs})


class PatchBody(RunBody):
    """A page to be changed by one sentence."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"page_id": "0199…", "instruction": "Make the summary shorter."}]}
    )

    page_id: Identifier | None = Field(None, description="A page of GET /api/pages.")
    version: Version | None = Field(None, description="409 unless this version is the current one.")
    page: dict[str, Any] | None = Field(None, description="Or a whole page, as GET /api/pages/{id} answers with it.")
    instruction: Text = Field(description="What is to be changed, in one sentence.")
    model: Identifier | None = Field(None, description="A model of GET /v1/models; absent means the default.")

    @model_validator(mode="after")
    def _one_page(self) -> "PatchBody":
        if (self.page_id is None) == (self.page is None):
            raise ValueError("give page_id or page, and not both")
        if self.page is not None and self.version is not None:
            raise ValueError("give version with a page_id; a page of the request's own has none")
        return self

    def run_body(self, *, execute: bool) -> bytes:
        """The run's body."""
        return orjson.dumps(
            self.model_dump(include={"page_id", "version", "page", "instruction", "model"}, exclude_none=True)
        )

    @property
    def asked_model(self) -> str:
        """See the base."""
        return self.model or ""


class RestoreBody(Body):
    """Which version is to be the current one again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"version": 1, "expected_version": 3}]})

    version: Version | None = Field(None, description="Absent: the one that the current version was made from.")
    expected_version: Version | None = Field(None, description="409 unless this one is current.")
