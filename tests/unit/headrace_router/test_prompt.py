import jsonschema
import pytest
from headrace_router import prompt
from headrace_router.excerpt import excerpt
from headrace_router.model import Intent, Question, Turn
from hypothesis import given
from hypothesis import strategies as st


def asked(question: Question) -> str:
    return prompt.messages(question)[-1].content


def test_only_the_assistants_last_turn_is_told() -> None:
    history = (
        Turn("assistant", "first answer"),
        Turn("user", "an earlier wish"),
        Turn("assistant", "Shall I make a quiz?"),
        Turn("user", "hm"),
    )
    text = asked(Question("yes", history=history))
    assert "Shall I make a quiz?" in text
    assert "first answer" not in text
    assert "an earlier wish" not in text
    assert text.endswith("MESSAGE:\nyes")


def test_without_history_nothing_is_said_about_it() -> None:
    assert asked(Question("hello")) == "MESSAGE:\nhello"


def test_an_open_page_is_told() -> None:
    assert "page" in asked(Question("shorter", has_page=True))


def test_the_prompt_stays_small_whatever_comes() -> None:
    huge = "x" * 32_768
    question = Question(huge, has_page=True, history=(Turn("assistant", huge),))
    assert sum(len(message.content) for message in prompt.messages(question)) < 3_500


def test_a_long_message_keeps_both_ends() -> None:
    text = asked(Question("START" + "x" * 30_000 + "END"))
    assert "START" in text
    assert text.endswith("END")


@pytest.mark.parametrize("intent", Intent)
def test_what_satisfies_the_schema_is_read(intent: Intent) -> None:
    jsonschema.validate({"intent": intent.value}, prompt.SCHEMA)
    answer = prompt.parse(f'{{"intent": "{intent.value}"}}')
    assert answer is not None
    assert answer.intent is intent


@pytest.mark.parametrize(
    "text", ["", "quiz", "[]", "null", '"quiz"', "{}", '{"intent": "dance"}', '{"intent": ["qa"]}', "{"]
)
def test_what_is_no_answer_is_none(text: str) -> None:
    assert prompt.parse(text) is None


@given(st.text())
def test_no_answer_raises(text: str) -> None:
    assert prompt.parse(text) is None or "intent" in text


@given(st.text(), st.integers(1, 50), st.integers(1, 50))
def test_an_excerpt_is_bounded_and_short_texts_are_whole(text: str, head: int, tail: int) -> None:
    cut = excerpt(text, head=head, tail=tail)
    assert len(cut) <= head + tail + len(" … ")
    if len(text.strip()) <= head + tail:
        assert cut == text.strip()
