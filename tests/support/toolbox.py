"""A `Toolbox` whose tools are functions of a test."""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_blueprint.tools import Tool
from headrace_schemas import counted
from headrace_tools.arguments import check
from headrace_tools.errors import ToolFailed
from headrace_tools.model import EntitySource, ToolEntry

ANY: Mapping[str, Any] = {"type": "object"}


def tool(name: str, schema: Mapping[str, Any] = ANY, *, idempotent: bool = True) -> ToolEntry:
    """An HTTP tool."""
    return ToolEntry(Tool(name, f"What {name} does.", schema), "http", name.partition(".")[0], idempotent)


@dataclass(frozen=True)
class Called:
    """One call."""

    tenant_id: str
    name: str
    arguments: Mapping[str, Any]
    deadline_s: float
    call_id: str


@dataclass
class FakeToolbox:
    """Judges arguments as the real one does, and answers by `does`, a function of the arguments for each tool.

    An exception among its answers is raised.
    """

    entries: Sequence[ToolEntry] = ()
    does: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)
    sources: Sequence[EntitySource] = ()
    calls: list[Called] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    def tools(self, tenant_id: str) -> Mapping[str, ToolEntry]:
        return {entry.tool.name: entry for entry in self.entries}

    def entities(self, tenant_id: str) -> Sequence[EntitySource]:
        return self.sources

    async def call(
        self, tenant_id: str, name: str, arguments: Mapping[str, Any], *, deadline_s: float, call_id: str = ""
    ) -> Any:
        for entry in self.entries:
            if entry.tool.name == name:
                await check(name, counted.validator(entry.tool.input_schema), arguments)
        self.calls.append(Called(tenant_id, name, arguments, deadline_s, call_id))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            if name not in self.does:
                raise ToolFailed(f"there is no tool {name!r}", reason="invalid")
            result = self.does[name](arguments)
            result = await result if inspect.isawaitable(result) else result
            if isinstance(result, Exception):
                raise result
            return result
        finally:
            self.running -= 1
