"""One attempt at one node: what a kind's module is given, and what it gives back."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from headrace_blueprint import references
from headrace_llm.client import Wait
from headrace_llm.usage import Bill
from headrace_tools.ports import NoTools, Toolbox

from headrace_executor import events
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.retrying import Sleep
from headrace_executor.engine.scope import Scope
from headrace_executor.errors import RunFailed
from headrace_executor.model import ClaimedRun, FailureCode, Json
from headrace_executor.ports import Cel, Event, Journal, Models, Rag

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


@dataclass(frozen=True, slots=True)
class Result:
    """A node's output, and events that its readers get when it is recorded."""

    output: Json
    events: Sequence[Event] = ()


@dataclass(slots=True)
class Attempt:
    """One attempt of this owner at one node."""

    journal: Journal
    parts: Parts
    scope: Scope
    node: str
    needs: frozenset[str]
    number: int
    """1 for this owner's first."""
    timeout_s: float
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
    began_s: float = field(default_factory=time.monotonic)
    """When it began, on the monotonic clock."""

    @property
    def run(self) -> ClaimedRun:
        """The run that the node belongs to."""
        return self.journal.run

    @property
    def step(self) -> str:
        """The node's step."""
        return f"node:{self.node}"

    @property
    def unique_id(self) -> str:
        """A name that no other message of any node has: RUN:NODE, then :OWNER, .ATTEMPT, .RESTART where not the first."""
        name = f"{self.run.run_id}:{self.node}"
        if self.restarts:
            return f"{name}:{self.run.attempt}.{self.number}.{self.restarts + 1}"
        if self.number > 1:
            return f"{name}:{self.run.attempt}.{self.number}"
        return f"{name}:{self.run.attempt}" if self.run.attempt > 1 else name

    @property
    def left_s(self) -> float:
        """Seconds that are left of the attempt and of the run, never less than 0: the deadline of whatever it calls."""
        attempt_s = self.timeout_s - (time.monotonic() - self.began_s)
        run_s = (self.run.deadline - self.parts.now()).total_seconds()
        return max(0.0, min(attempt_s, run_s))

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
