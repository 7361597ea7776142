"""How many questions a message asks for."""

import pytest
from headrace_planner import counts


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("Make 7 questions about volcanoes", 7),
        ("ten multiple-choice questions on rivers", 10),
        ("Write twelve short questions", 12),
        ("one question please", 1),
        ("100 questions", 20),
        ("0 questions", 1),
        ("出十道关于光合作用的选择题", 10),
        ("出十道选择题", 10),
        ("给我3道题", 3),
        ("五个问题", 5),
        ("十五题", 15),
        ("二十道题", 20),
        ("三十道题", 20),
        ("两道单选题", 2),
        ("第一题是什么", None),
        ("第十题", None),
        ("Quiz me on the 3 laws of motion", None),
        ("What is question 5 about?", None),
        ("Chapter 2.5 questions", None),
        ("", None),
    ],
)
def test_the_number_before_questions_counts(message: str, number: int | None) -> None:
    assert counts.questions(message) == number
