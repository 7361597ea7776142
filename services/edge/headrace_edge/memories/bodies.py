"""Request bodies about what a session remembers."""

from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from headrace_edge.bodies import Body, Metadata
from headrace_edge.memories.model import MemoryContent

MAX_VALUE_BYTES = 64 * 1024
MAX_TEXT = 8_000
"""Characters of a memory's text and of a query."""


def _fitting(value: Any) -> Any:
    if len(orjson.dumps(value)) > MAX_VALUE_BYTES:
        raise ValueError(f"must be at most {MAX_VALUE_BYTES} bytes of JSON")
    return value


Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]


class MemoryBody(Body):
    """A value to be remembered."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"value": {"avoid": ["peanuts"]}, "text": "The user is allergic to peanuts."}]}
    )

    value: Annotated[Any, AfterValidator(_fitting)] = Field(description="Any JSON, at most 64 KiB.")
    text: Text | None = Field(
        None, description="What a search compares with; absent means the value if it is a string, else its JSON."
    )
    metadata: Metadata = Field(default_factory=dict, description="Kept with it.")

    def content(self) -> MemoryContent:
        """The same in JSON."""
        return MemoryContent(orjson.dumps(self.value), self.text or "", orjson.dumps(self.metadata))


class MemorySearchBody(Body):
    """A question to what a session remembers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "What must not be in the food?", "top_k": 5}]})

    query: Text
    top_k: Annotated[int, Field(ge=1, le=50)] = 5
