"""One attempt at one node: what a kind's module is given, and what it gives back."""

import asyncio
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from headrace_blueprint import references
from headrace_blueprint.plan import Plan
from headrace_llm.client import Wait
from headrace_llm.usage import Bill
from headrace_tools.ports import NoTools, Toolbox

from headrace_executor import events
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.retrying import Sleep
from headrace_executor.engine.rewriting import Rewrite
from headrace_executor.engine.scope import Scope
from headrace_executor.errors import RunFailed
from headrace_executor.model import ClaimedRun, FailureCode, Json
from headrace_executor.ports import Cel, Event, Journal, Models, Pages, Rag, Workflows

J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class Parts:
    """What nodes use from outside."""

    rag: Rag
    models: Models
    cel: Cel
    now: Callable[[], datetime]
    """The wall clock, in UTC."""
    limits: Limits = field(default_factory=Limits)
    sleep: Sleep = asyncio.sleep
    toolbox: Toolbox = field(default_factory=NoTools)
    """The connectors' tools."""
    workflows: Workflows | None = None
    """None: there are no saved workflows."""
    pages: Pages | None = None
    """None: pages are not kept."""
    jitter: Callable[[], float] = random.random
    """From 0 to 1: how much of the second half of a back-off is waited."""
    replica: asyncio.Semaphore | None = None
    """Places for nodes of all runs of this process; None for a run that shares none."""


@dataclass(frozen=True, slots=True)
class Result:
    """A node's output, and events that its readers get when it is recorded."""

    output: Json
    events: Sequence[Event] = ()
    only_once: bool = False
    """Whether it changed something outside: the run goes on when it is stored, as after what was paid for."""


class Inside(Protocol):
    """What is inside a map or a flow, as their modules run it."""

    def expect(self, items: Sequence[Json]) -> None:
        """Prepare for a map's items: count them, and show readers the places that they fill. Raises `RunFailed`."""

    async def item(self, index: int, value: Json) -> Json:
        """Run the node inside a map for one item and return its output. Raises `RunFailed`."""

    def workflow(self, workflow_id: str) -> Plan:
        """The revision of a saved workflow that the run uses."""

    async def flow(self, plan: Plan, inputs: Mapping[str, Json]) -> Json:
        """Run a workflow as this node and return its output. Raises `RunFailed`."""


@dataclass(slots=True)
class Attempt:
    """One attempt of this owner at one node."""

    journal: Journal
    parts: Parts
    scope: Scope
    node: str
    """Its path: ID, MAP[3] for an item, FLOW/ID inside a flow."""
    needs: frozenset[str]
    number: int
    """1 for this owner's first."""
    timeout_s: float
    """Of the whole attempt, and no more than is left to the run."""
    unblocks: int = 0
    """How many nodes wait for this one, directly or not."""
    on_wait: Callable[[Wait], None] | None = None
    """Told while the attempt's calls wait for the quota."""
    bill: Bill = field(default_factory=Bill)
    """What its node has spent so far, paid whether it succeeds or not."""
    message_id: str = ""
    """The text message that is open, "" for none."""
    restarts: int = 0
    """How many messages it has begun before: a model failed in the middle of one, or called tools after it."""
    ends_at: float = math.inf
    """When its time is over, on the event loop's clock."""
    rewrite: Rewrite | None = None
    """What a compose node's model writes anew."""
    inside: Inside | None = None
    """Of a map or a flow."""

    @property
    def run(self) -> ClaimedRun:
        """The run that the node belongs to."""
        return self.journal.run

    @property
    def step(self) -> str:
        """The node's step."""
        return f"node:{self.node}"

    @property
    def left_s(self) -> float:
        """Seconds that are left of it, never less than 0: the deadline of whatever it calls."""
        return max(0.0, min(self.timeout_s, self.ends_at - asyncio.get_running_loop().time()))

    @property
    def unique_id(self) -> str:
        """A name that no other message of any node has: RUN:NODE, then :OWNER, .ATTEMPT, .RESTART where not the first."""
        name = f"{self.run.run_id}:{self.node}"
        if self.restarts:
            return f"{name}:{self.run.attempt}.{self.number}.{self.restarts + 1}"
        if self.number > 1:
            return f"{name}:{self.run.attempt}.{self.number}"
        return f"{name}:{self.run.attempt}" if self.run.attempt > 1 else name

    def seen(self) -> Mapping[str, Json]:
        """What the node may refer to."""
        return self.scope.seen(self.needs)

    def resolved(self, value: J) -> J:
        """A copy of `value` with its references replaced. Raises `RunFailed`."""
        try:
            resolved: J = references.resolve(value, self.seen())
        except (references.MissingReference, references.MalformedReference, references.ResolvedTooLarge) as error:
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"{error}.") from error
        return resolved

    def text(self, value: str) -> str:
        """A string with its references replaced; what a lone reference stands for becomes text too. Raises `RunFailed`."""
        resolved: Json = self.resolved(value)
        return resolved if isinstance(resolved, str) else references.resolve(f"{value} ", self.seen())[:-1]

    def open_message(self) -> str:
        """Begin a text message and return its id."""
        self.message_id = self.unique_id
        self.journal.emit(events.text_start(self.message_id))
        return self.message_id

    def close_message(self) -> Sequence[Event]:
        """What closes the open message, for the caller to record; none when none is open. The next one has another id."""
        if not self.message_id:
            return ()
        closing = (events.text_end(self.message_id),)
        self.message_id = ""
        self.restarts += 1
        return closing

    def begin_message_anew(self) -> str:
        """Close the open message, say that it is void, begin another one and return its id."""
        self.journal.emit(events.text_end(self.message_id))
        self.journal.emit(events.custom("headrace.restarted", {"step": self.step, "message_id": self.message_id}))
        self.restarts += 1
        return self.open_message()
