"""What passes between the durable half's logic and its store. Plain data; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from headrace_executor.model import ClaimedRun, Failure, Priority, RunKind, RunState, StepRecord


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events of one run that were committed together, numbered first_seq, first_seq + 1, … without a gap."""

    run_id: str
    first_seq: int
    events: tuple[bytes, ...]
    final: bool = False
    """Whether the last of them is the run's last."""

    @property
    def last_seq(self) -> int:
        """The number of the last event."""
        return self.first_seq + len(self.events) - 1

    @property
    def size(self) -> int:
        """Its bytes as it is stored, what stands between events included."""
        return sum(map(len, self.events)) + len(self.events) - 1


@dataclass(frozen=True, slots=True)
class StepWrite:
    """A finished step."""

    name: str
    output: bytes
    usage: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """How an owner leaves a run: ended, or QUEUED again."""

    state: RunState
    output: bytes = b""
    failure: Failure | None = None
    usage: bytes = b""
    reply: str | None = None
    """The assistant's message."""


@dataclass(frozen=True, slots=True)
class RunWrite:
    """What one flush writes for one run."""

    run_id: str
    fence: int
    session_id: str
    chunk: Chunk
    steps: tuple[StepWrite, ...] = ()
    ending: Ending | None = None
    size: int = 0
    """About how many bytes its events and steps have."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A valid request for a run."""

    run_id: str
    tenant_id: str
    request_id: str
    """"" means that no other request is the same."""
    request_hash: bytes
    session_id: str
    new_session: bool
    title: str
    kind: RunKind
    priority: Priority
    body: bytes
    message: str | None
    """The user's message for the session."""
    traceparent: str
    started: bytes
    """RUN_STARTED, the run's first event."""
    size: int = 0
    thread_id: str = ""
    """The session is the tenant's of that name, or with that id; a new one gets the name."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the store knows about a submission before it is accepted."""

    existing_run: str | None
    """The run that an earlier request with the same id made."""
    existing_hash: bytes
    session_id: str | None
    """The session that it names, if the tenant has it."""
    queued: int
    queued_of_tenant: int
    sessions_of_tenant: int | None
    """None when they were not counted."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this process owns from now on."""

    run: ClaimedRun
    last_seq: int = 1
    takeovers: int = 0
    """Owners that died since the last finished step."""
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier owners of a run did."""

    steps: Mapping[str, StepRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """As much of a run as a watcher needs."""

    tenant_id: str
    state: RunState
    last_seq: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue and the fleet, counted in one snapshot."""

    time: datetime
    queued: Mapping[Priority, int]
    running: int
    oldest_wait_s: float
    replicas: int
    slots: int
    """Of all living executors together."""
    seconds_per_run: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued run and its place in the order of claims."""

    run_id: str
    fence: int
    position: int
    """1 is next."""
    priority: Priority
    noticed: int
    """The position that its watchers were told last, 0 for none."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A place in the queue that a run's watchers are told."""

    run_id: str
    fence: int
    position: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation."""

    session_id: str
    tenant_id: str
    title: str
    metadata: bytes
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SessionMessage:
    """One turn of a conversation."""

    position: int
    message_id: str
    role: str
    text: str
    run_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list holds; None filters nothing."""

    session_id: str | None = None
    state: RunState | None = None
    kind: RunKind | None = None


@dataclass(frozen=True, slots=True)
class StoredPages:
    """How much pages are, of all tenants."""

    pages: int
    most: int
    """Of one tenant."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredSessions:
    """How many sessions there are, of all tenants."""

    sessions: int
    most: int
    """Of one tenant."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat's answer."""

    held: bool
    """False when the lease had lapsed before."""
    cancelled: Sequence[str]
    """Runs of ours that somebody asked to end."""
