"""What is wrong with a blueprint before it is saved or run: the language's faults, the tenant's tools, its workflows."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from headrace_blueprint import flows
from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.shapes import nearest
from headrace_runtime import errors
from headrace_runtime.errors import InvalidArgument, Violation

from headrace_executor.engine import requests, tool_names
from headrace_executor.model import Json

INLINE_BYTES = 16 * 1024
"""Larger documents are checked in a thread: the worst take a tenth of a second."""
MAX_THREADS = 2
"""Documents that are checked in threads at once."""
MAX_WAITING = 64
"""Documents that may wait for a thread; more are refused."""
MAX_VIOLATIONS = 100
"""Faults that one refusal lists."""

Tools = Mapping[str, Mapping[str, Any]]


class Flows(Protocol):
    """Which of a tenant's workflows run which."""

    async def reach(self, tenant_id: str, workflow_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """For each of the workflows that exist, and each that they lead to: those that it names."""

    async def ids(self, tenant_id: str) -> Sequence[str]:
        """The ids of all the tenant's workflows."""


class Validator:
    """Checks documents, the long ones off the event loop."""

    def __init__(self, flows: Flows, tools: Callable[[str], Tools]) -> None:
        """`tools` gives the arguments' schemas of a tenant's tools, by name."""
        self._flows = flows
        self._tools = tools
        self._threads = asyncio.Semaphore(MAX_THREADS)
        self._waiting = 0

    async def faults(
        self, tenant_id: str, blueprint: Json, given: Json | None, *, size: int, saved_as: str = ""
    ) -> Sequence[Fault]:
        """List what is wrong with a blueprint of about `size` bytes and, if there are any, the inputs for it.

        Pointers begin with /blueprint and /inputs. `saved_as` is the workflow that it is to be: a flow that leads back to
        it is a fault. Raises ResourceExhausted when too many documents wait.
        """
        tools = self._tools(tenant_id)
        if size <= INLINE_BYTES:
            found = requests.faults(blueprint, given, tools=tools)
        else:
            found = await self._apart(lambda: requests.faults(blueprint, given, tools=tools))
        return [*found, *await self._flow_faults(tenant_id, blueprint, saved_as)]

    def tool_faults(self, tenant_id: str, names: Sequence[str], *, for_a_model: bool) -> Sequence[Fault]:
        """List what is wrong with the tools that a request names, and with their number if one model is to have them."""
        read = tool_names.for_a_model if for_a_model else tool_names.read
        return read(names, self._tools(tenant_id)).faults

    async def _apart(self, check: Callable[[], Sequence[Fault]]) -> Sequence[Fault]:
        if self._waiting >= MAX_WAITING:
            raise errors.ResourceExhausted("too many large blueprints at once", reason="VALIDATING", retry_after_s=1.0)
        self._waiting += 1
        try:
            async with self._threads:
                return await asyncio.to_thread(check)
        finally:
            self._waiting -= 1

    async def _flow_faults(self, tenant_id: str, blueprint: Json, saved_as: str) -> Sequence[Fault]:
        named = list(flow_nodes(blueprint))
        if not named:
            return ()
        leads = await self._flows.reach(tenant_id, sorted({flow for _, flow in named}))
        unknown = {flow for _, flow in named} - leads.keys() - {saved_as}
        known = await self._flows.ids(tenant_id) if unknown else ()
        return list(_judged(named, leads, saved_as, known))


def flow_nodes(blueprint: Json) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where a document names workflows, and which, those inside of map nodes included. Total over JSON values."""
    nodes = blueprint.get("nodes") if isinstance(blueprint, Mapping) else None
    for index, node in enumerate(nodes if isinstance(nodes, list) else ()):
        at: tuple[str | int, ...] = ("nodes", index)
        if isinstance(node, Mapping) and node.get("kind") == "map":
            at, node = (*at, "node"), node.get("node")
        if isinstance(node, Mapping) and node.get("kind") == "flow" and isinstance(node.get("workflow_id"), str):
            yield (*at, "workflow_id"), node["workflow_id"]


def invalid(faults: Sequence[Fault]) -> InvalidArgument:
    """A refusal that names every fault with its place."""
    return refusal([Violation(one.pointer, told(one)) for one in faults])


def told(fault: Fault) -> str:
    """A fault's message with its hint."""
    return f"{fault.message}: {fault.hint}" if fault.hint else fault.message


def refusal(violations: Sequence[Violation]) -> InvalidArgument:
    """A refusal that names what is wrong, the first in its text."""
    first = violations[0]
    rest = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return InvalidArgument(f"{first.field}: {first.message}{rest}", violations=tuple(violations[:MAX_VIOLATIONS]))


def _judged(
    named: Sequence[tuple[tuple[str | int, ...], str]],
    leads: Mapping[str, Sequence[str]],
    saved_as: str,
    known: Sequence[str],
) -> Iterator[Fault]:
    if len(leads.keys() - {saved_as}) > flows.MAX_FLOWS:
        yield Fault(pointer(("blueprint", "nodes")), flows.TOO_MANY, "take flows out of it, or out of those that it runs")
        return
    refused = {flow: flows.refusal(saved_as, {**leads, saved_as: (flow,)}) for flow in {flow for _, flow in named}}
    for at, flow in named:
        place = pointer(("blueprint", *at))
        if (why := refused[flow]) is not None:
            yield Fault(place, why, "take the flow out of one of them")
        elif flow not in leads:
            hint = f"{nearest(flow, known)} — a workflow is saved before those that run it"
            yield Fault(place, f"there is no workflow {flow[:64]!r}", hint)
