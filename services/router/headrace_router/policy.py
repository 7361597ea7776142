"""Who decides, in which order. Pure: from what is known of a message to a decision, or to None while too little is known.

The service learns one thing after another, the cheapest first, and asks `decide` again after each:
the request itself, then the neighbours' vote, then a model's answer, or that no model could be asked.
"""

from collections.abc import Callable
from dataclasses import dataclass

from headrace_router import commands
from headrace_router.model import Answer, DecidedBy, Decision, Intent, Question, Vote

CLEAR_MARGIN = 0.4
"""The lead over the second intent at which nine in ten votes of the examples' cross-validation are right or better."""
SHORT_REPLY_CHARS = 24
"""A message this short may be an answer to what was said before ("yes, do it")…"""
ECHO = 0.8
"""…unless it is nearly the words of an example ("thank you")."""
PAGE_CHANGE_CONFIDENCE = 0.9
"""A change verb beside a page is nearly always a change to that page."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known so far."""

    question: Question
    vote: Vote | None = None
    answer: Answer | None = None
    asked: bool = False
    """True once nothing more can be learned: the model has answered, or could not."""
    clear_margin: float = CLEAR_MARGIN


Rule = Callable[[Evidence], Decision | None]


def explicit_mode(evidence: Evidence) -> Decision | None:
    """The caller has said what it wants."""
    mode = evidence.question.mode
    return _rule(mode, "mode") if mode else None


def carried_blueprint(evidence: Evidence) -> Decision | None:
    """A request that brings a blueprint wants it run."""
    return _rule(Intent.BUILD, "blueprint") if evidence.question.has_blueprint else None


def slash_command(evidence: Evidence) -> Decision | None:
    """`/quiz photosynthesis`."""
    intent = commands.slash_command(evidence.question.message)
    return _rule(intent, "slash_command") if intent else None


def page_change(evidence: Evidence) -> Decision | None:
    """A page is open and the message tells to change something."""
    if evidence.question.has_page and commands.tells_to_change(evidence.question.message):
        return _rule(Intent.PATCH, "page_change", PAGE_CHANGE_CONFIDENCE)
    return None


def clear_neighbours(evidence: Evidence) -> Decision | None:
    """The labelled examples nearby agree."""
    vote = evidence.vote
    if vote is None or vote.margin < evidence.clear_margin:
        return None
    if _may_be_a_reply(evidence.question) and vote.nearest < ECHO:
        return None
    return Decision(vote.intent, vote.confidence, DecidedBy.EMBEDDING, "neighbours_clear")


def model_answer(evidence: Evidence) -> Decision | None:
    """A model was asked and has answered."""
    answer = evidence.answer
    return Decision(answer.intent, answer.confidence, DecidedBy.MODEL, "model") if answer else None


def best_neighbour(evidence: Evidence) -> Decision | None:
    """No model could be asked: the neighbours' first choice, with the little confidence that it has."""
    if evidence.vote is None or not evidence.asked:
        return None
    return Decision(evidence.vote.intent, evidence.vote.confidence, DecidedBy.EMBEDDING, "neighbours_best")


CHAIN: tuple[Rule, ...] = (
    explicit_mode,
    carried_blueprint,
    slash_command,
    page_change,
    clear_neighbours,
    model_answer,
    best_neighbour,
)
"""The first to decide wins."""


def decide(evidence: Evidence) -> Decision | None:
    """Decide, or return None when more must be known. With a vote and `asked` there is always a decision."""
    return next((decision for rule in CHAIN if (decision := rule(evidence)) is not None), None)


def _rule(intent: Intent, reason: str, confidence: float = 1.0) -> Decision:
    return Decision(intent, confidence, DecidedBy.RULES, reason)


def _may_be_a_reply(question: Question) -> bool:
    return len(question.message.strip()) <= SHORT_REPLY_CHARS and bool(question.last_answer)
