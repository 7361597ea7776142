"""The router's own words: what is asked, what is known about it, what is decided. Nothing here knows protobuf."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from headrace_llm.usage import Usage

MAX_MESSAGE_CHARS = 32_768
"""Longest message that is routed."""
MAX_TURNS = 8
"""Most turns of history that a question may bring."""


class Intent(Enum):
    """What a message can want. The order breaks ties: what promises least comes first."""

    CHAT = "chat"
    QA = "qa"
    BUILD = "build"
    QUIZ = "quiz"
    PATCH = "patch"


class DecidedBy(StrEnum):
    """Which of the router's means decided."""

    RULES = "rules"
    EMBEDDING = "embedding"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message."""

    role: str
    """user or assistant."""
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """One message with what its request says about it."""

    message: str
    mode: Intent | None = None
    """What the caller asked for; None leaves it to the router."""
    has_blueprint: bool = False
    has_page: bool = False
    history: tuple[Turn, ...] = ()
    """Oldest first."""

    @property
    def last_answer(self) -> str:
        """The assistant's last turn, "" when there is none."""
        return next((turn.text for turn in reversed(self.history) if turn.role == "assistant"), "")


@dataclass(frozen=True, slots=True)
class Vote:
    """What the labelled examples near a message say."""

    intent: Intent
    confidence: float
    """The first intent's share of the vote, 0 to 1."""
    margin: float
    """By how much the first intent's share is larger than the second's, 0 to 1."""
    nearest: float
    """The likeness of the single nearest example; 1 is the same text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said."""

    intent: Intent
    confidence: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The end of it."""

    intent: Intent
    confidence: float
    decided_by: DecidedBy
    reason: str
    """A fixed word that says which function of `policy` decided."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A decision and what it cost."""

    decision: Decision
    usage: Usage
