import numpy as np
import pytest
from headrace_router.lexical import Index, grams, is_cjk, normalise
from hypothesis import given
from hypothesis import strategies as st

TEXTS = ("Make a quiz about volcanoes", "Change the title", "出一份关于火山的测验", "把标题改成成绩")
texts = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=12)


def test_case_width_and_spaces_do_not_matter() -> None:
    assert normalise("  Make   A\nＱＵＩＺ ") == "make a quiz"
    index = Index.of(TEXTS)
    assert np.allclose(index.likeness("MAKE  a ｑｕｉｚ about volcanoes"), index.likeness(TEXTS[0]))


def test_chinese_is_compared_by_characters_and_pairs() -> None:
    counted = grams("改标题")
    assert counted[("标",)] == counted[("标", "题")] == counted[("", "改")] == counted[("题", "")] == 1


def test_the_nearest_text_is_the_one_that_shares_most() -> None:
    index = Index.of(TEXTS)
    assert int(index.likeness("a quiz about rivers").argmax()) == 0
    assert int(index.likeness("标题改成年报").argmax()) == 3


def test_a_text_that_shares_nothing_is_like_none() -> None:
    assert not Index.of(TEXTS).likeness("zzz").any()


def test_words_that_no_text_has_make_a_message_less_like_all() -> None:
    index = Index.of(TEXTS)
    assert index.likeness("change the title zzz yyy")[1] < index.likeness("change the title")[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("学Python难还是学JavaScript难?", True),
        ("logo放到左边", True),
        ("你好", True),
        ("What does 加油 mean?", False),
        ("hello", False),
        ("123 !!", False),
        ("", False),
    ],
)
def test_a_message_is_chinese_when_most_of_what_it_says_is(text: str, expected: bool) -> None:
    assert is_cjk(text) is expected


@given(texts, st.text(max_size=40))
def test_likeness_is_a_cosine_of_non_negative_vectors(known: list[str], text: str) -> None:
    result = Index.of(known).likeness(text)
    assert result.shape == (len(known),)
    assert ((result >= 0) & (result <= 1)).all()


@given(texts)
def test_a_text_is_entirely_like_itself(known: list[str]) -> None:
    index = Index.of(known)
    for row, text in enumerate(known):
        assert index.likeness(text)[row] == pytest.approx(1, abs=1e-5)
