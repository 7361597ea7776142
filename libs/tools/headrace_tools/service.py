"""The toolbox: whose tools those are, whether the arguments fit, how many calls there are at once, how long one takes."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from headrace_runtime import telemetry
from headrace_runtime.yaml_lines import nearest
from headrace_schemas import counted
from opentelemetry import trace

from headrace_tools import metrics
from headrace_tools.arguments import check
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import Limits
from headrace_tools.model import EntitySource, Json, ToolEntry
from headrace_tools.ports import Connector
from headrace_tools.tools_file import EVERYBODY

tracer = trace.get_tracer("headrace_tools")


@dataclass(slots=True)
class Served:
    """A connector in use."""

    name: str
    label: str
    connector: Connector
    timeout_s: float
    turns: asyncio.Semaphore
    waiting: int = 0
    validators: dict[str, tuple[ToolEntry, counted.Validator]] = field(default_factory=dict)
    """By tool; made anew when the tool is another than before, and gone with it."""

    def validator(self, tool: str, entry: ToolEntry) -> counted.Validator:
        """The validator of a tool's arguments."""
        known = self.validators.get(tool)
        if known is None or known[0] is not entry:
            there = self.connector.tools()
            self.validators = {name: one for name, one in self.validators.items() if name in there}
            validator = counted.validator(entry.tool.input_schema, own=entry.kind == "http")
            known = self.validators[tool] = (entry, validator)
        return known[1]


class ConnectedTools:
    """Implements `ports.Toolbox` over connectors, by scope and name."""

    def __init__(
        self,
        connectors: Mapping[str, Mapping[str, Served]],
        entities: Mapping[str, Mapping[str, EntitySource]],
        *,
        limits: Limits,
    ) -> None:
        self._connectors = connectors
        self._entities = entities
        self._limits = limits

    def tools(self, tenant_id: str) -> Mapping[str, ToolEntry]:
        """What the tenant may call now, by name."""
        seen = self._seen(tenant_id)
        return {entry.tool.name: entry for one in seen.values() for entry in one.connector.tools().values()}

    def entities(self, tenant_id: str) -> Sequence[EntitySource]:
        """Where the tenant's names are looked up; its own sources win over everybody's of the same kind."""
        own = self._entities.get(tenant_id, {}) if tenant_id != EVERYBODY else {}
        return tuple({**self._entities.get(EVERYBODY, {}), **own}.values())

    async def call(
        self, tenant_id: str, name: str, arguments: Mapping[str, Json], *, deadline_s: float, call_id: str = ""
    ) -> Json:
        """A tool's result within `deadline_s` seconds and the connector's own timeout. Raises `ToolFailed`."""
        connector, _, tool = name.partition(".")
        seen = self._seen(tenant_id)
        served = seen.get(connector)
        if served is None:
            raise ToolFailed(f"there is no tool {name[:200]!r}{nearest(name, self.tools(tenant_id))}", reason="invalid")
        started = time.monotonic()
        outcome = "cancelled"
        attributes = {"headrace.tool": name[:200], "headrace.tenant_id": tenant_id}
        try:
            with telemetry.span(tracer, f"tool {connector}", kind=trace.SpanKind.CLIENT, attributes=attributes):
                result = await self._called(served, tool, arguments, min(deadline_s, served.timeout_s), call_id)
            outcome = "ok"
            return result
        except ToolFailed as error:
            outcome = error.reason
            raise
        except Exception:
            outcome = "error"
            raise
        finally:
            metrics.CALLS.labels(served.label, outcome).inc()
            metrics.SECONDS.labels(served.label).observe(time.monotonic() - started)

    def _seen(self, tenant_id: str) -> Mapping[str, Served]:
        own = self._connectors.get(tenant_id, {}) if tenant_id != EVERYBODY else {}
        return {**self._connectors.get(EVERYBODY, {}), **own}

    async def _called(
        self, served: Served, tool: str, arguments: Mapping[str, Json], deadline_s: float, call_id: str
    ) -> Json:
        entry = served.connector.tools().get(tool)
        if entry is None:
            known = served.connector.tools()
            if not known:
                raise ToolFailed(f"{served.name} has not been reached yet and has no tools", reason="away")
            raise ToolFailed(f"{served.name} has no tool {tool[:128]!r}{nearest(tool, known)}", reason="invalid")
        await check(entry.tool.name, served.validator(tool, entry), arguments)
        until = time.monotonic() + deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                async with self._turn(served):
                    left_s = until - time.monotonic()
                    return await served.connector.call(tool, arguments, deadline_s=left_s, call_id=call_id)
        except TimeoutError as error:
            raise ToolFailed(
                f"{entry.tool.name} has no result after {deadline_s:.3g} seconds", reason="deadline"
            ) from error
        except ToolFailed as error:
            raise ToolFailed(
                f"{entry.tool.name}: {error}", reason=error.reason, retry_after_s=error.retry_after_s
            ) from error

    @asynccontextmanager
    async def _turn(self, served: Served) -> AsyncIterator[None]:
        if served.turns.locked() and served.waiting >= self._limits.waiting:
            raise ToolFailed(f"{served.waiting} calls are waiting already", reason="away")
        served.waiting += 1
        metrics.WAITING.labels(served.label).inc()
        try:
            await served.turns.acquire()
        finally:
            served.waiting -= 1
            metrics.WAITING.labels(served.label).dec()
        try:
            yield
        finally:
            served.turns.release()
