"""Which functions the simulator calls, with what, and what it says to their results."""

import json
from typing import Any

import pytest
from headrace_simulator import reply
from headrace_simulator.ask import Ask, BadRequest, parse
from headrace_simulator.fate import Fate

FATE = Fate(fault="", first_token_s=0.5, token_s=0.1, tokens=10, cut_at=0.5, offset=0)
GRADES = {
    "name": "school__grades",
    "parameters": {
        "type": "object",
        "properties": {"class_id": {"type": "string"}, "year": {"type": "integer"}, "note": {}},
        "required": ["class_id"],
    },
}
CLASSES = {"name": "school__classes", "parameters": {"type": "object"}}


def ask(*messages: Any, functions: Any = (GRADES, CLASSES), **fields: Any) -> Ask:
    listed = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
    tools = [{"type": "function", "function": one} for one in functions]
    return parse({"model": "m", "messages": listed, "tools": tools, **fields})


def called(name: str, content: str) -> list[Any]:
    """A call and its result."""
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": content},
    ]


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("Use school__grades.", "school__grades", {"class_id": "text"}),
        ("What does school.grades say for class_id=c1?", "school__grades", {"class_id": "c1"}),
        (
            'school.grades with class_id: "3 B", year = 2025, note=[1]',
            "school__grades",
            {"class_id": "3 B", "year": 2025, "note": [1]},
        ),
        ("first school.classes, then school.grades", "school__classes", {}),
    ],
)
def test_a_function_that_is_named_is_called_with_what_is_given(text: str, name: str, arguments: Any) -> None:
    one = ask(text)
    assert (one.tool, json.loads(one.json or "")) == (name, arguments)
    assert reply.compose(one, FATE).finish_reason == "tool_calls"


@pytest.mark.parametrize("text", ["How is 3B?", "school.gradesheet", "myschool.grades", "school.grades.all", ""])
def test_one_that_is_not_named_is_not(text: str) -> None:
    assert ask(text).tool == ""


def test_those_that_are_named_are_called_one_a_turn_and_then_their_results_are_quoted() -> None:
    question = "school.classes, then school.grades"
    first = called("school__classes", '["c1"]')
    second = called("school__grades", '{"mean":2.5}')
    assert ask(question, *first).tool == "school__grades"
    done = ask(question, *first, *second)
    assert (done.tool, done.text) == ("", 'The tools say: ["c1"] and {"mean":2.5}')
    assert "".join(reply.compose(done, FATE).pieces) == done.text


def test_a_new_question_begins_anew() -> None:
    one = ask("school.grades", *called("school__grades", "1"), "And again: school.grades")
    assert one.tool == "school__grades"


def test_one_who_may_not_call_quotes_what_is_there() -> None:
    one = ask("school.classes, then school.grades", *called("school__classes", '["c1"]'), tool_choice="none")
    assert (one.tool, one.text) == ("", 'The tools say: ["c1"]')
    assert ask("school.grades", tool_choice="none").tool == ""


def test_an_answer_that_must_be_json_is_json_when_nothing_is_left_to_call() -> None:
    form = {
        "type": "json_schema",
        "json_schema": {"schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}},
    }
    one = ask("school.classes", *called("school__classes", "[]"), response_format=form)
    assert "".join(reply.compose(one, FATE).pieces) == '{"n":0}'


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest):
        ask("broken", functions=[{"name": "broken", "parameters": {"type": "object", "required": 3}}])


def test_results_are_quoted_to_a_limit() -> None:
    one = ask("school.classes", *called("school__classes", "x" * 9_000))
    assert len(one.text or "") < 2_100
