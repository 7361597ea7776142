import math

import numpy as np
import pytest
from headrace_router.model import Intent, Vote
from headrace_router.neighbours import kinds, vote
from hypothesis import assume, given
from hypothesis import strategies as st

likeness = st.floats(-1, 1, width=32)
examples = st.lists(st.tuples(likeness, st.sampled_from(Intent)), min_size=1, max_size=60)
Examples = list[tuple[float, Intent]]


def voted(pairs: Examples, *, top: int = 3, temperature: float = 0.05) -> Vote:
    return vote(
        np.array([near for near, _ in pairs], dtype=np.float32),
        kinds(label for _, label in pairs),
        top=top,
        temperature=temperature,
    )


def mean_of_nearest(pairs: Examples, intent: Intent, top: int) -> float:
    own = sorted((near for near, label in pairs if label is intent), reverse=True)[:top]
    return sum(own) / len(own) if own else -math.inf


def test_the_intent_with_the_nearer_examples_wins() -> None:
    result = voted([(0.9, Intent.QUIZ), (0.8, Intent.QUIZ), (0.3, Intent.CHAT), (0.2, Intent.QA)])
    assert result.intent is Intent.QUIZ
    assert result.nearest == pytest.approx(0.9)
    assert result.confidence > 0.99


def test_many_middling_examples_do_not_outvote_the_nearest_few() -> None:
    crowd: Examples = [(0.5, Intent.CHAT)] * 50
    assert voted([*crowd, (0.8, Intent.PATCH), (0.8, Intent.PATCH), (0.8, Intent.PATCH)]).intent is Intent.PATCH


def test_one_lucky_example_does_not_outvote_three_good_ones() -> None:
    lucky: Examples = [(0.9, Intent.CHAT), (0.1, Intent.CHAT), (0.1, Intent.CHAT)]
    assert voted([*lucky, *[(0.6, Intent.QA)] * 3]).intent is Intent.QA


def test_equal_likeness_to_all_is_a_vote_of_equal_shares() -> None:
    result = voted([(0.4, intent) for intent in Intent])
    assert (result.intent, result.margin) == (Intent.CHAT, 0)
    assert result.confidence == pytest.approx(1 / len(Intent))


def test_examples_of_one_intent_only_leave_no_choice() -> None:
    result = voted([(0.1, Intent.BUILD)])
    assert (result.intent, result.confidence, result.margin) == (Intent.BUILD, 1, 1)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 likenesses for 1 examples"):
        vote(np.zeros(2, dtype=np.float32), kinds([Intent.CHAT]))
    with pytest.raises(ValueError, match="0 likenesses"):
        vote(np.zeros(0, dtype=np.float32), kinds([]))


@given(examples, st.integers(1, 20))
def test_a_vote_is_a_share_and_its_winner_has_the_best_mean(pairs: Examples, top: int) -> None:
    result = voted(pairs, top=top)
    assert 1 / len(Intent) - 1e-9 <= result.confidence <= 1
    assert 0 <= result.margin <= result.confidence
    best = max(mean_of_nearest(pairs, intent, top) for intent in Intent)
    assert mean_of_nearest(pairs, result.intent, top) == pytest.approx(best, abs=1e-6)


@given(examples, st.randoms())
def test_the_order_of_the_examples_does_not_matter(pairs: Examples, random: object) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = voted(pairs), voted(shuffled)
    assert after.confidence == pytest.approx(before.confidence, abs=1e-6)
    assert after.margin == pytest.approx(before.margin, abs=1e-6)


@given(examples, st.integers(0, 59), st.floats(0, 1))
def test_bringing_an_example_of_the_winner_nearer_never_costs_it_confidence(
    pairs: Examples, at: int, nearer: float
) -> None:
    before = voted(pairs)
    assume(at < len(pairs) and pairs[at][1] is before.intent)
    moved = [*pairs[:at], (min(1.0, pairs[at][0] + nearer), pairs[at][1]), *pairs[at + 1 :]]
    after = voted(moved)
    assert after.intent is before.intent
    assert after.confidence >= before.confidence - 1e-6


@given(examples)
def test_a_lower_temperature_is_surer_of_the_same_winner(pairs: Examples) -> None:
    calm, keen = voted(pairs, temperature=0.1), voted(pairs, temperature=0.05)
    assert keen.intent is calm.intent
    assert keen.confidence >= calm.confidence - 1e-9
