"""What the durable half needs from its database and its messenger, as protocols. `adapters` implements them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from headrace_executor.model import Failure, Run, RunKind, RunState, StepRecord
from headrace_executor.runs.costs import KindCost
from headrace_executor.runs.records import (
    Beat,
    Chunk,
    Claim,
    Head,
    Notice,
    Preflight,
    QueueState,
    RunFilter,
    RunWrite,
    Session,
    SessionMessage,
    StoredPages,
    StoredSessions,
    Submission,
    Waiting,
)


class FlushStore(Protocol):
    """Writes for owned runs. Every method of every store raises `errors.StoreAway` and `errors.StoreRefused`."""

    async def write(self, writes: Sequence[RunWrite]) -> frozenset[str]:
        """Write a batch in one transaction and return the runs that were still ours; the same batch may come twice."""


class ClaimStore(Protocol):
    """Leases and claims."""

    async def register(self, executor_id: str, *, lease_s: float, slots: int) -> None:
        """Begin a lease under a new id."""

    async def renew(self, executor_id: str, *, lease_s: float, seconds_per_run: float, finished: int) -> Beat:
        """Renew the lease unless it has lapsed."""

    async def resign(self, executor_id: str) -> None:
        """End the lease now."""

    async def claim(self, executor_id: str, *, limit: int) -> Sequence[Claim]:
        """Own up to `limit` runs from now on, in the order of turns. A lapsed lease claims nothing."""

    async def give_up(self, run_id: str, *, fence: int) -> None:
        """Put a run back; it counts as a takeover."""


class SubmissionStore(Protocol):
    """Accepts runs."""

    async def preflight(
        self, submissions: Sequence[Submission], *, count: frozenset[int], count_to: int
    ) -> Sequence[Preflight]:
        """What is known about each submission, in their order, and note that the sessions that they name are used.

        For those at the places in `count` the sessions of their tenant are counted, to `count_to` at most.
        """

    async def accept(
        self, submissions: Sequence[Submission], *, owners: Sequence[str | None], deadline_s: float
    ) -> Mapping[str, datetime]:
        """Make the runs, all or none; a missing one met an earlier request with its id."""


class LogStore(Protocol):
    """Reads events and steps."""

    async def head(self, run_id: str) -> Head | None:
        """Whose the run is and how far its log goes."""

    async def read(self, run_id: str, *, after: int, limit: int) -> Sequence[Chunk]:
        """The next chunks that hold events after a number, at most `limit` and fewer of large ones; none at the end."""

    async def read_many(self, after: Mapping[str, int], *, limit: int, max_bytes: int) -> Sequence[Chunk]:
        """The next chunks of several runs at once, `limit` for each.

        The chunk that reaches `max_bytes` of all together is the last; each run's first comes before any run's second.
        """

    async def steps(self, run_id: str) -> Mapping[str, StepRecord]:
        """The run's finished steps."""

    async def output(self, tenant_id: str, run_id: str, step: str) -> Sequence[bytes] | None:
        """The parts of a finished step's output; none when there is no such step, None when there is no such run."""


class RunStore(Protocol):
    """Reads runs and ends those that nobody works on."""

    async def get(self, tenant_id: str, run_id: str) -> Run | None:
        """One run with its output."""

    async def list(self, tenant_id: str, wanted: RunFilter, *, before: str | None, limit: int) -> Sequence[Run]:
        """Runs older than `before`, newest first, without their outputs."""

    async def request_cancel(self, tenant_id: str, run_id: str) -> bool:
        """Ask a running run's owner to end it; False when it does not run."""

    async def fence(self, run_id: str) -> int | None:
        """The fencing token of a queued run, None when it is not queued."""

    async def end_queued(self, chunk: Chunk, *, fence: int, state: RunState, failure: Failure | None, usage: bytes) -> bool:
        """End a queued run with its last events; False when it changed in the meantime."""

    async def queue(self) -> QueueState:
        """Count the queue and the fleet."""

    async def costs(self, *, limit: int) -> Mapping[RunKind, KindCost]:
        """What the newest `limit` runs that succeeded took, by kind."""


class SessionStore(Protocol):
    """Conversations."""

    async def create(
        self, session_id: str, *, tenant_id: str, request_id: str, title: str, metadata: bytes, limit: int
    ) -> Session | None:
        """Open a session, or find the one that was opened for that request; None when the tenant has `limit` already."""

    async def get(self, tenant_id: str, session_id: str) -> Session | None:
        """One session."""

    async def list(self, tenant_id: str, *, before: str | None, limit: int) -> Sequence[Session]:
        """Sessions older than `before`, newest first."""

    async def delete(self, tenant_id: str, session_id: str) -> int | None:
        """Remove a session. Returns how many unfinished runs forbid it, None when there is none such."""

    async def messages(self, session_id: str, *, after: int, limit: int) -> Sequence[SessionMessage]:
        """Messages after a position, oldest first."""


class UpkeepStore(Protocol):
    """What nobody's request pays for."""

    async def waiting(self, *, limit: int, quiet_s: float, waited_s: float) -> Sequence[Waiting]:
        """The first queued runs, those that have waited for a while and heard nothing for another."""

    async def notice(self, notices: Sequence[Notice]) -> Sequence[str]:
        """Append an event to each run that still waits, and return those."""

    async def overdue(self, *, limit: int) -> Sequence[tuple[str, str]]:
        """Tenant and id of queued runs whose deadline has passed."""

    async def partition(self, today: date, *, ahead_days: int, keep_days: int) -> tuple[int, int]:
        """Add the partitions of the next days and drop old ones; how many of each."""

    async def expire(self, today: date, *, keep_log_days: int, keep_run_days: int, keep_usage_days: int) -> int:
        """Remove old rows that no partition holds, and keep by day what the runs cost."""

    async def expire_sessions(self, today: date, *, keep_days: int) -> int:
        """Remove sessions that nobody has used for long, a batch of them with what they hold; how many."""

    async def trim_messages(self, today: date, *, keep: int) -> int:
        """Remove the oldest messages of sessions that runs have come to and that have too many, a batch; how many."""

    async def sessions(self) -> StoredSessions:
        """How many sessions all tenants have."""

    async def pages(self) -> StoredPages:
        """How much the pages of all tenants are."""


class Hints(Protocol):
    """Tells other executors that something happened. Hints may be lost; they cost nobody a wait."""

    def queued(self) -> None:
        """A run waits that this executor does not claim."""

    def events(self, run_ids: Sequence[str]) -> None:
        """These runs have new events."""

    def cancel(self, run_id: str) -> None:
        """Somebody asked this run to end."""
