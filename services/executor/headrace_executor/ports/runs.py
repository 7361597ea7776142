"""What the runner of runs and the runs themselves see of each other."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from headrace_llm.usage import Usage

from headrace_executor.model import ClaimedRun, Json, Outcome, StepRecord

Event = Mapping[str, Json]
"""One AG-UI event in its JSON form, as `events` makes them."""


class Journal(Protocol):
    """A claimed run's log, as its owner writes it.

    Events get their sequence numbers in the order of the calls. They are durable and visible to watchers after the next
    flush; `checkpoint` waits for that flush. The journal knows what is open (messages, tool calls, steps): what an earlier
    owner left open it closes before its first event, and what is open at the end it closes before the run's last event.

    Every method raises `errors.LeaseLost` once another executor owns the run.
    """

    @property
    def run(self) -> ClaimedRun:
        """The run that it is the log of."""

    @property
    def steps(self) -> Mapping[str, StepRecord]:
        """Finished steps by name, those of earlier owners included."""

    def emit(self, *events: Event) -> None:
        """Append events; returns at once."""

    def delta(self, message_id: str, text: str) -> None:
        """Append to an open text message. Neighbouring deltas of one message become one event if they meet within 25 ms."""

    def record(self, step: str, output: Json, *, usage: Usage, events: Sequence[Event] = ()) -> None:
        """Record a step as finished, in one transaction with `events` and all that was emitted before; return at once.

        For a step that cost nothing and changed nothing outside: if this process dies before the flush, the next owner
        does the step again and nobody has seen the first result.
        """

    async def checkpoint(self, step: str, output: Json, *, usage: Usage, events: Sequence[Event] = ()) -> None:
        """Record a step as finished and wait until that is stored: what was paid for is never paid again."""

    def spent(self, usage: Usage) -> None:
        """Count what a step has cost that will not finish: it belongs to the run's usage all the same."""

    async def drained(self) -> None:
        """Wait until the buffer has room again; returns at once when it has. A stream awaits it after each `delta`.

        Who never does runs into the buffer's hard limit: `emit` and `delta` then raise `errors.RunFailed`.
        """


class Pipeline(Protocol):
    """Takes a claimed run to its end."""

    async def run(self, journal: Journal) -> Outcome:
        """Do what is left of the run.

        Raises `errors.RunFailed` when it cannot succeed. On cancellation it stops what it started and lets
        CancelledError pass. The caller writes RUN_STARTED, usage and the end.
        """
