"""Pages as the edge answers with them."""

from datetime import datetime
from typing import Any

from pydantic import Field

from headrace_edge.model import Answer, Usage


class PageVersion(Answer):
    """A version of a page, without what is on it."""

    page_id: str
    version: int = Field(description="1, 2, 3 … in the order in which they were made.")
    current: bool = Field(description="Whether it is the one that is read and changed when none is named.")
    parent_version: int | None = Field(description="The version that it was made from.")
    instruction: str | None = Field(description="The sentence that changed its parent.")
    title: str
    run_id: str = Field(description="The run that made it.")
    session_id: str
    created_at: datetime
    usage: Usage


class Page(PageVersion):
    """A version of a page, whole."""

    blueprint: dict[str, Any]
    inputs: dict[str, Any]
    slots: list[dict[str, Any]] = Field(description="`slot`, `title`, `node`, `value` and perhaps `gap`, as laid out.")
    sources: list[dict[str, Any]] = Field(description="What its searches found.")
