"""The cache that all processes share, as a protocol."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from headrace_llm.cache.policy import Kept, Key


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that is kept."""

    kept: Kept
    ttl_s: float
    """How much longer it is kept."""


class Turn(Enum):
    """Who asks the model, when no answer is kept."""

    MINE = "mine"
    """We: the lease is ours until we settle it or stop renewing it."""
    OTHERS = "others"
    """Somebody else, who holds the lease."""
    ALONE = "alone"
    """We, without a lease: nobody can be told (Redis is away), or nobody's answer can be had."""


class Bell(Protocol):
    """Rings when whoever asked a question is done with it."""

    def mute(self) -> None:
        """Forget that it rang."""

    async def rung(self, *, timeout_s: float) -> Turn | None:
        """Wait for it. `Turn.ALONE` when the answer there was cannot be shared; None when it may be worth a look."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is being asked: one lease, one call."""

    key: Key
    urgency: int
    """The priority: nobody waits for a call that stands behind its own in the gate's queue."""
    token: str
    """Of whoever asks; a lease ends by its owner's token only."""


@dataclass(frozen=True, slots=True)
class SharedRoom:
    """What all processes keep together; `LlmSettings` explains each."""

    ttl_s: float = 3600.0
    total_bytes: int = 32 * 1024 * 1024
    value_bytes: int = 256 * 1024
    lease_s: float = 3.0
    retry_s: float = 1.0


class Shared(Protocol):
    """Answers and leases of all processes. Nothing here raises: without Redis every look is `Turn.ALONE`."""

    async def look(self, question: Question) -> Found | Turn:
        """The answer, or whose turn it is; takes the lease if it is free."""

    async def renew(self, question: Question) -> None:
        """Hold the lease for longer."""

    async def settle(self, question: Question, *, kept: Kept | None, failed: bool = False) -> None:
        """Keep the answer if there is one, end the lease and ring; after a failure somebody else tries."""

    def listen(self, key: Key) -> AbstractContextManager[Bell]:
        """Hear of the end of a question. To miss none, listen before you look."""
