import random

from headrace_llm.history import MOST_KINDS, STEP, History
from hypothesis import given
from hypothesis import strategies as st


def learnt(seconds: list[float], *, purpose: str = "") -> History:
    history = History(default_max_tokens=100)
    for one in seconds:
        history.learn("m", completion_tokens=10, seconds=one, purpose=purpose)
    return history


def test_almost_every_call_is_done_within_what_it_is_said_to_need() -> None:
    chance = random.Random(1)
    times = [chance.lognormvariate(1, 0.5) for _ in range(2000)]
    needed = learnt(times[:1000]).needed_s("m")
    late = sum(one > needed for one in times[1000:]) / 1000
    assert late < 0.01
    assert needed < 2 * max(times[:1000])


@given(st.lists(st.floats(0.02, 600), min_size=1, max_size=150))
def test_of_few_calls_the_longest_counts_and_something_for_the_doubt(times: list[float]) -> None:
    least = 1 + min(1.0, 2 / len(times) ** 0.5)
    assert max(times) * least * 0.99 <= learnt(times).needed_s("m") <= max(times) * STEP * 2.1


def test_of_a_few_dozen_calls_almost_all_later_ones_are_done_in_time() -> None:
    chance, late = random.Random(2), 0
    for _ in range(50):
        needed = learnt([chance.lognormvariate(1, 0.4) for _ in range(30)]).needed_s("m")
        late += sum(chance.lognormvariate(1, 0.4) > needed for _ in range(100))
    assert late / 5000 < 0.01


def test_what_was_long_ago_fades() -> None:
    history = learnt([100.0] * 300 + [1.0] * 4000)
    assert history.needed_s("m") < 1.3
    assert history.expected_s("m") < 1.1


def test_kinds_of_calls_are_kept_apart_and_a_new_kind_is_like_its_model() -> None:
    history = learnt([1.0] * 30, purpose="route")
    for _ in range(30):
        history.learn("m", completion_tokens=10, seconds=20.0, purpose="compose")
    assert history.needed_s("m", "route") < 1.6
    assert history.needed_s("m", "compose") >= 20
    assert history.needed_s("m", "never seen") >= 20
    assert history.needed_s("other", "route") == 0


def test_the_number_of_kinds_is_bounded() -> None:
    history = History(default_max_tokens=100)
    for number in range(2 * MOST_KINDS):
        history.learn("m", completion_tokens=1, seconds=1, purpose=f"kind {number}")
    assert len(history._times) <= MOST_KINDS
    assert history.needed_s("m", f"kind {2 * MOST_KINDS - 1}") > 0


def test_tokens_are_guessed_until_an_answer_has_come_and_never_beyond_what_is_allowed() -> None:
    history = History(default_max_tokens=100)
    assert history.expected_tokens("m", max_tokens=500) == 100
    assert history.expected_tokens("m", max_tokens=50) == 50
    history.learn("m", completion_tokens=8, seconds=1)
    assert history.expected_tokens("m", max_tokens=500) == 8


def test_tokens_are_expected_as_calls_of_the_same_kind_had_them() -> None:
    history = History(default_max_tokens=100)
    for long, short in ((300, 10), (340, 14), (320, 12)):
        history.learn("m", completion_tokens=long, seconds=1, purpose="compose")
        history.learn("m", completion_tokens=short, seconds=1, purpose="route")
    assert history.expected_tokens("m", "compose", max_tokens=500) == 320
    assert history.expected_tokens("m", "route", max_tokens=500) == 12
    assert history.expected_tokens("m", "new", max_tokens=500) == 166
