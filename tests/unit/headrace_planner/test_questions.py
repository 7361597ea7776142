"""The question for a plan fits small models and treats the request as data."""

import jsonschema
import pytest
from headrace_blueprint import tools, validation
from headrace_blueprint.faults import Fault
from headrace_planner import drafts, library, questions, toolbox
from headrace_planner.draft_schema import Language
from headrace_planner.model import RUNNABLE, Entity, Intent, Request, Turn

LIBRARY = library.load()
BRIEF = questions.brief(LIBRARY, toolbox.BUILTIN, Language.COMPACT)


def first(message: str, *, history: tuple[Turn, ...] = (), context_tokens: int = 4096) -> str:
    request = Request("acme", Intent.BUILD, message, history=history)
    system, user = questions.first(BRIEF, request, context_tokens=context_tokens, max_tokens=700)
    assert system.content == BRIEF.instructions
    return user.content


def test_the_instructions_are_short_and_name_every_tool() -> None:
    assert len(BRIEF.instructions) < 1_900
    assert all(name in BRIEF.instructions for name in tools.TOOLS)
    assert "{tools}" not in BRIEF.instructions


@pytest.mark.parametrize("language", Language)
def test_the_example_in_the_instructions_fits_the_schema_and_is_a_valid_plan(language: Language) -> None:
    orders = tools.Tool("orders", "", {"type": "object", "properties": {"customer": {"type": "string"}}})
    known = (*toolbox.BUILTIN, orders)
    brief = questions.brief(LIBRARY, known, language)
    example = validation.loads(brief.instructions.splitlines()[-1].encode())
    jsonschema.validate(example, brief.schema)
    made = drafts.blueprint(drafts.tidied(example), LIBRARY.blueprints["build"])
    assert validation.validate(made, tools=toolbox.schemas(known), kinds=RUNNABLE) == []
    assert len(made["nodes"]) == len(example["nodes"])


def test_a_tool_is_told_in_one_line_with_what_it_takes() -> None:
    schema = {"type": "object", "properties": {"class_id": {}, "term": {}}, "required": ["class_id"]}
    tool = tools.Tool("school.grades", "Grades\n of a class. " + "x" * 500, schema)
    told = questions.brief(LIBRARY, (tool,), Language.FULL).instructions
    assert "\n  school.grades {class_id, term?}: Grades of a class. xxx" in told
    assert "x" * 200 not in told


def test_records_are_told_by_reference_and_by_the_words_of_the_message() -> None:
    request = Request("acme", Intent.BUILD, "A report for my class", entities=(Entity("class", "integer", "my class"),))
    _, user = questions.first(BRIEF, request, context_tokens=4096, max_tokens=700)
    assert "- ${inputs.entities.class.id} and ${inputs.entities.class.name}: 'my class'" in user.content
    assert user.content.endswith("Request:\nA report for my class")


@pytest.mark.parametrize("context_tokens", [1_024, 2_048, 4_096, 32_768])
def test_a_long_request_is_cut_to_what_the_model_can_read(context_tokens: int) -> None:
    text = first("河" * 30_000, context_tokens=context_tokens)
    room = max(questions.LEAST_REQUEST_CHARS, (context_tokens - 700) * questions.CHARS_PER_TOKEN - len(BRIEF.instructions))
    assert len(text) <= min(room, questions.MAX_REQUEST_CHARS) + len("Request:\n")


def test_the_last_turns_are_told_when_there_is_room() -> None:
    history = tuple(Turn("user", f"turn {n} " + "x" * 1_000) for n in range(8))
    text = first("as before", history=history)
    assert "turn 7" in text
    assert "turn 5" not in text
    assert "turn 7" not in first("as before", history=history, context_tokens=1_500)


def test_a_repair_shows_the_last_draft_and_its_faults() -> None:
    question = questions.first(BRIEF, Request("acme", Intent.BUILD, "x"), context_tokens=4096, max_tokens=700)
    again = questions.again(question, '{"name":"y"}', [Fault("/nodes", "missing")], prompt=LIBRARY.repair_prompt)
    assert again[:2] == question
    assert [message.role for message in again] == ["system", "user", "assistant", "user"]
    assert "- /nodes: missing" in again[3].content
