"""The built-in quizzes give JSON of one strict shape, of as many questions as asked for."""

import copy
from typing import Any

import jsonschema
import pytest
from headrace_blueprint import references, tools, validation
from headrace_blueprint.expressions import compile_expression, evaluate
from headrace_planner import library, policy
from headrace_planner.model import RUNNABLE, Intent, Request

LIBRARY = library.load()
QUESTION = {"question": "Why?", "options": ["a", "b", "c", "d"], "answer": 3, "explanation": "So it is."}
QUIZZES = pytest.mark.parametrize("name", ["quiz", "quiz_passages"])


def quiz(*questions: Any) -> dict[str, Any]:
    return {"title": "T", "questions": list(questions)}


def draft(document: Any) -> Any:
    return next(node for node in document["nodes"] if node["id"] == "draft")


@QUIZZES
@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (quiz(QUESTION), True),
        (quiz(*[QUESTION] * 20), True),
        (quiz(), False),
        (quiz(*[QUESTION] * 21), False),
        (quiz({**QUESTION, "options": ["a", "b", "c"]}), False),
        (quiz({**QUESTION, "options": ["a", "b", "c", "d", "e"]}), False),
        (quiz({**QUESTION, "options": ["a", "b", "c", ""]}), False),
        (quiz({**QUESTION, "answer": 4}), False),
        (quiz({**QUESTION, "answer": -1}), False),
        (quiz({**QUESTION, "answer": "d"}), False),
        (quiz({**QUESTION, "explanation": ""}), False),
        (quiz({key: value for key, value in QUESTION.items() if key != "explanation"}), False),
        (quiz({**QUESTION, "hint": "x"}), False),
        ({**quiz(QUESTION), "note": "x"}, False),
    ],
)
def test_the_schema_is_strict(name: str, value: Any, fits: bool) -> None:
    schema = draft(LIBRARY.blueprints[name])["schema"]
    assert jsonschema.Draft202012Validator(schema).is_valid(value) is fits


@QUIZZES
@pytest.mark.parametrize(("written", "wanted", "left"), [(7, 5, 5), (3, 5, 3), (20, 1, 1)])
def test_no_more_questions_come_than_are_wanted(name: str, written: int, wanted: int, left: int) -> None:
    node = next(node for node in LIBRARY.blueprints[name]["nodes"] if node["id"] == "quiz")
    scope = {"inputs": {"questions": wanted}, "nodes": {"draft": {"output": quiz(*[QUESTION] * written)}}}
    assert evaluate(compile_expression(node["expr"]), scope) == quiz(*[QUESTION] * left)


@QUIZZES
def test_the_number_is_an_input_and_the_page_has_the_quiz(name: str) -> None:
    document = LIBRARY.blueprints[name]
    known = document["inputs"]["properties"]["questions"]
    assert (known["minimum"], known["maximum"], known["default"]) == (1, 20, 5)
    scope = {"inputs": {"message": "M", "questions": 9}, "nodes": {"passages": {"output": {"text": "[1] P"}}}}
    prompt = references.resolve(draft(document)["prompt"], scope)
    assert "exactly 9 multiple-choice questions" in prompt
    assert "M" in prompt
    assert [slot["node"] for slot in document["layout"]] == ["quiz"]
    assert document["output"] == "${nodes.quiz.output}"


def test_a_quiz_on_documents_reads_passages_and_cites_them() -> None:
    prompt = draft(LIBRARY.blueprints["quiz_passages"])["prompt"]
    assert "${nodes.passages.output.text}" in prompt
    assert "cites its passage" in prompt


def test_a_number_in_the_message_is_written_into_the_plan() -> None:
    before = copy.deepcopy(LIBRARY.blueprints["quiz"])
    fitted = policy.fitted(LIBRARY.blueprints["quiz"], Request("acme", Intent.QUIZ, "Make 3 questions on rivers"))
    questions = draft(fitted)["schema"]["properties"]["questions"]
    assert (questions["minItems"], questions["maxItems"]) == (3, 3)
    assert fitted["inputs"]["properties"]["questions"]["default"] == 3
    assert draft(fitted)["max_tokens"] < 1_000
    assert validation.validate(fitted, tools=tools.SCHEMAS, kinds=RUNNABLE) == []
    assert before == LIBRARY.blueprints["quiz"]
