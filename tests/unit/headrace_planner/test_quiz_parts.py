"""A quiz for a model with short answers is written in parts, each of other questions; what cannot be made is left out."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import orjson
import pytest
from headrace_blueprint import tools, validation
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode
from headrace_llm.errors import ProviderUnavailable
from headrace_planner import library, policy
from headrace_planner.model import RUNNABLE, Intent, Request
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine_runs import PageRun
from tests.support.executor_fakes import FakeModels

LIBRARY = library.load()
SMALL_TOKENS = 400
QUIZ = LIBRARY.blueprints["quiz"]["nodes"][0]["schema"]


def planned(message: str, *, answer_tokens: int, workspace: str = "") -> tuple[str, Any]:
    request = Request("acme", Intent.QUIZ, message, workspace=workspace)
    name = policy.template_name(request, answer_tokens=answer_tokens)
    return name, policy.fitted(LIBRARY.blueprints[name], request, answer_tokens=answer_tokens)


def written(prompt: str) -> str:
    """What a model answers that writes as many questions as it is asked for, about what it is told."""
    asked = re.search(r"exactly (\d+)", prompt)
    assert asked is not None
    about = re.search(r"about (.+?)\. Each has", prompt)
    questions = [
        {"question": f"{about[1] if about else ''} {at}?", "options": ["a", "b", "c", "d"], "explanation": "so"}
        for at in range(int(asked[1]))
    ]
    return orjson.dumps({"title": "T", "questions": questions}).decode()


def untitled(prompt: str) -> str:
    return orjson.dumps({"questions": orjson.loads(written(prompt))["questions"]}).decode()


def run(
    document: Any, *, say: Callable[[str], str] = written, failures: list[Exception] | None = None, **inputs: Any
) -> PageRun:
    models = FakeModels(say=say, failures=failures or [])
    return PageRun(document, {"message": "Rivers", **inputs}, models=models)


def asked(one: PageRun) -> list[str]:
    assert isinstance(one.models, FakeModels)
    return [request.messages[0].content for request in one.models.requests]


@pytest.mark.parametrize(
    ("message", "answer_tokens", "name"),
    [
        ("A quiz on rivers", 4096, "quiz"),
        ("A quiz on rivers", 2048, "quiz_parts"),
        ("5 questions on rivers", 2048, "quiz"),
        ("5 questions on rivers", 400, "quiz_parts"),
        ("One question on rivers", 448, "quiz"),
        ("One question on rivers", 40, "quiz"),
        ("出二十道题", 4095, "quiz_parts"),
    ],
)
def test_a_quiz_is_one_call_where_its_model_has_room_for_all(message: str, answer_tokens: int, name: str) -> None:
    assert planned(message, answer_tokens=answer_tokens)[0] == name
    assert planned(message, answer_tokens=answer_tokens, workspace="w")[0] == name.replace("quiz", "quiz_passages")


@given(st.integers(1, 10_000), st.sampled_from(["Rivers", "河流", "3 questions", "出十二道题"]), st.sampled_from(["", "w"]))
def test_every_quiz_is_valid_and_asks_for_no_longer_answer_than_its_model_writes(
    answer_tokens: int, message: str, workspace: str
) -> None:
    _, document = planned(message, answer_tokens=answer_tokens, workspace=workspace)
    assert validation.validate(document, tools=tools.SCHEMAS, kinds=RUNNABLE) == []
    for node in document["nodes"]:
        one = node.get("node", node)
        if one["kind"] == "compose" and "batch" in {other["id"] for other in document["nodes"]}:
            assert one["max_tokens"] <= answer_tokens


@pytest.mark.parametrize("workspace", ["", "w"])
@pytest.mark.parametrize(
    ("answer_tokens", "questions", "calls"),
    [(400, 5, 5), (400, 1, 1), (700, 5, 3), (1024, 5, 2), (2048, 5, 1), (2048, 20, 3), (400, 20, 20)],
)
async def test_a_quiz_has_so_many_different_questions_in_few_calls(
    workspace: str, answer_tokens: int, questions: int, calls: int
) -> None:
    one = run(planned("Rivers", answer_tokens=answer_tokens, workspace=workspace)[1], questions=questions)
    made = await one.output()
    jsonschema.validate(made, QUIZ)
    assert len({question["question"] for question in made["questions"]}) == questions
    assert len(set(asked(one))) == len(asked(one)) == calls


async def test_parts_on_documents_read_different_passages_or_places_of_them() -> None:
    one = run(planned("Rivers", answer_tokens=SMALL_TOKENS, workspace="w")[1], questions=2)
    await one.output()
    read = [set(re.findall(r"^\[(\d)\]", prompt, re.MULTILINE)) for prompt in asked(one)]
    assert read == [{"1"}, {"2"}]


async def test_parts_on_documents_in_chinese_read_whole_characters() -> None:
    one = run(planned("河流", answer_tokens=SMALL_TOKENS, workspace="w")[1], questions=3, message="河流" * 300)
    assert len((await one.output())["questions"]) == 3


async def test_a_question_that_cannot_be_made_leaves_a_gap_and_the_others() -> None:
    one = run(
        planned("Rivers", answer_tokens=SMALL_TOKENS)[1],
        say=lambda prompt: "no JSON" if "why it happens" in prompt else written(prompt),
        questions=3,
    )
    made = await one.output()
    assert [question["question"] for question in made["questions"]] == ["what it is 0?", "an example of it 0?"]
    gaps = [event["value"] for event in one.journal.events if event.get("name") == "headrace.gap"]
    assert [(gap["step"], gap["code"]) for gap in gaps] == [("node:drafts[1]", "provider")]


async def test_the_same_question_twice_is_there_once() -> None:
    question = {"question": "Why? ", "options": ["a", "b", "c", "d"], "explanation": "so"}
    answers = iter([question, {**question, "question": "WHY?"}, {**question, "question": "How?"}])
    one = run(
        planned("Rivers", answer_tokens=SMALL_TOKENS)[1],
        say=lambda _: orjson.dumps({"title": "T", "questions": [next(answers)]}).decode(),
        questions=3,
    )
    assert [found["question"] for found in (await one.output())["questions"]] == ["Why? ", "How?"]


@pytest.mark.parametrize("workspace", ["", "w"])
async def test_the_right_option_is_written_first_and_shown_in_different_places(workspace: str) -> None:
    made = await run(planned("Rivers", answer_tokens=SMALL_TOKENS, workspace=workspace)[1], questions=12).output()
    assert all(question["options"][question["answer"]] == "a" for question in made["questions"])
    assert all(sorted(question["options"]) == ["a", "b", "c", "d"] for question in made["questions"])
    assert {question["answer"] for question in made["questions"]} == {0, 1, 2, 3}


async def test_a_question_with_the_same_option_twice_is_left_out() -> None:
    one = run(
        planned("Rivers", answer_tokens=SMALL_TOKENS)[1],
        say=lambda prompt: written(prompt).replace('"c"', '"A "') if "why it happens" in prompt else written(prompt),
        questions=2,
    )
    assert [question["question"] for question in (await one.output())["questions"]] == ["what it is 0?"]


@pytest.mark.parametrize(("answer_tokens", "title"), [(SMALL_TOKENS, "河流"), (2048, "T")])
async def test_a_quiz_of_a_model_with_short_answers_is_called_as_its_request(answer_tokens: int, title: str) -> None:
    one = run(planned("Rivers", answer_tokens=answer_tokens)[1], say=untitled if title != "T" else written, message="河流 ")
    assert (await one.output())["title"] == title


async def test_a_quiz_without_any_question_fails_with_what_went_wrong() -> None:
    away = ProviderUnavailable("the provider is away")
    one = run(planned("Rivers", answer_tokens=SMALL_TOKENS)[1], failures=[away] * 50, questions=2)
    with pytest.raises(RunFailed) as caught:
        await asyncio.wait_for(one.start(), 30)
    assert caught.value.failure.code is FailureCode.PROVIDER


@pytest.mark.parametrize(("message", "chars"), [("Rivers", 800), ("河流", 160)])
def test_the_texts_of_a_question_fit_the_answer_of_a_small_model(message: str, chars: int) -> None:
    _, document = planned(message, answer_tokens=SMALL_TOKENS)
    (schema,) = (node["node"]["schema"] for node in document["nodes"] if node["kind"] == "map")
    one = schema["properties"]["questions"]["items"]["properties"]
    longest = one["question"]["maxLength"] + 4 * one["options"]["items"]["maxLength"] + one["explanation"]["maxLength"]
    assert chars / 2 < longest <= chars
    assert schema["properties"]["questions"]["maxItems"] == 1
