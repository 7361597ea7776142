import dataclasses

import pytest
from headrace_router import policy
from headrace_router.model import Answer, DecidedBy, Intent, Question, Turn, Vote
from headrace_router.policy import Evidence, decide
from hypothesis import given
from hypothesis import strategies as st

CLEAR = Vote(Intent.QA, confidence=0.97, margin=0.95, nearest=0.7)
UNCLEAR = Vote(Intent.BUILD, confidence=0.4, margin=0.1, nearest=0.5)

intents = st.sampled_from(Intent)
shares = st.floats(0, 1)
votes = st.builds(Vote, intent=intents, confidence=shares, margin=shares, nearest=shares)
turns = st.builds(Turn, role=st.sampled_from(["user", "assistant"]), text=st.text(max_size=20))
questions = st.builds(
    Question,
    message=st.text(min_size=1, max_size=60),
    mode=st.none() | intents,
    has_blueprint=st.booleans(),
    has_page=st.booleans(),
    history=st.lists(turns, max_size=4).map(tuple),
)
answers = st.builds(Answer, intent=intents, confidence=shares)


def decided(evidence: Evidence) -> tuple[Intent, str, str] | None:
    decision = decide(evidence)
    return (decision.intent, decision.decided_by.value, decision.reason) if decision else None


def test_the_mode_that_the_caller_asked_for_beats_everything() -> None:
    question = Question("/build a page", mode=Intent.QUIZ, has_blueprint=True, has_page=True)
    assert decided(Evidence(question, vote=CLEAR)) == (Intent.QUIZ, "rules", "mode")


def test_a_blueprint_in_the_request_means_build_even_before_a_slash_command() -> None:
    assert decided(Evidence(Question("/quiz me", has_blueprint=True))) == (Intent.BUILD, "rules", "blueprint")


def test_a_slash_command_decides_without_a_vote() -> None:
    assert decided(Evidence(Question("/quiz photosynthesis"))) == (Intent.QUIZ, "rules", "slash_command")


def test_an_order_to_change_patches_only_when_a_page_is_open() -> None:
    with_page = decide(Evidence(Question("Please shorten the introduction", has_page=True)))
    assert with_page is not None
    assert (with_page.intent, with_page.reason) == (Intent.PATCH, "page_change")
    assert decide(Evidence(Question("Please shorten the introduction"))) is None


def test_a_question_about_an_open_page_is_left_to_the_neighbours() -> None:
    assert decided(Evidence(Question("What does the contract say?", has_page=True), vote=CLEAR)) == (
        Intent.QA,
        "embedding",
        "neighbours_clear",
    )


def test_unclear_neighbours_leave_it_to_the_model() -> None:
    question = Question("the thing for tomorrow, you know")
    assert decide(Evidence(question, vote=UNCLEAR)) is None
    answer = Answer(Intent.CHAT, 0.8)
    assert decided(Evidence(question, vote=UNCLEAR, answer=answer, asked=True)) == (Intent.CHAT, "model", "model")


def test_when_the_model_cannot_be_asked_the_best_neighbour_answers_with_its_own_confidence() -> None:
    decision = decide(Evidence(Question("the thing for tomorrow"), vote=UNCLEAR, asked=True))
    assert decision is not None
    assert (decision.intent, decision.confidence) == (Intent.BUILD, 0.4)
    assert decision.decided_by is DecidedBy.EMBEDDING


def test_a_short_reply_to_the_assistant_is_not_decided_by_neighbours_alone() -> None:
    history = (Turn("user", "I need questions on volcanoes"), Turn("assistant", "Shall I make a quiz of ten?"))
    assert decide(Evidence(Question("yes, do it", history=history), vote=CLEAR)) is None
    assert decide(Evidence(Question("yes, do it"), vote=CLEAR)) is not None


def test_a_short_reply_that_is_an_example_word_for_word_is_decided() -> None:
    history = (Turn("assistant", "Here you are."),)
    vote = Vote(Intent.CHAT, confidence=0.99, margin=0.98, nearest=0.95)
    assert decided(Evidence(Question("thank you", history=history), vote=vote)) == (
        Intent.CHAT,
        "embedding",
        "neighbours_clear",
    )


@pytest.mark.parametrize("margin", [0.0, 0.4, 1.0])
def test_the_margin_that_counts_as_clear_is_a_setting(margin: float) -> None:
    vote = dataclasses.replace(CLEAR, margin=0.4)
    clear = decide(Evidence(Question("a message of some length, anyhow"), vote=vote, clear_margin=margin)) is not None
    assert clear == (margin <= 0.4)


@given(questions, votes, st.none() | answers)
def test_with_a_vote_and_an_attempt_to_ask_there_is_always_a_decision(
    question: Question, vote: Vote, answer: Answer | None
) -> None:
    decision = decide(Evidence(question, vote=vote, answer=answer, asked=True))
    assert decision is not None
    assert 0 <= decision.confidence <= 1


@given(questions, votes, answers)
def test_what_is_decided_early_is_never_changed_by_learning_more(question: Question, vote: Vote, answer: Answer) -> None:
    steps = [
        Evidence(question),
        Evidence(question, vote=vote),
        Evidence(question, vote=vote, answer=answer, asked=True),
    ]
    decisions = [decision for step in steps if (decision := decide(step)) is not None]
    assert len(set(decisions)) == 1


@given(questions)
def test_rules_need_nothing_but_the_request(question: Question) -> None:
    decision = decide(Evidence(question))
    assert decision is None or decision.decided_by is DecidedBy.RULES
    if question.mode is not None:
        assert decision is not None
        assert decision.intent is question.mode


def test_the_chain_names_each_rule_once() -> None:
    names = [rule.__name__ for rule in policy.CHAIN]
    assert len(set(names)) == len(names) == 7
