"""The question for a plan fits small models and treats the request as data."""

import jsonschema
import pytest
from headrace_blueprint import tools, validation
from headrace_blueprint.faults import Fault
from headrace_planner import library, policy, questions
from headrace_planner.model import RUNNABLE, Intent, Request, Turn

LIBRARY = library.load()
BRIEF = questions.brief(LIBRARY, tuple(tools.TOOLS.values()))


def first(message: str, *, history: tuple[Turn, ...] = (), context_tokens: int = 4096) -> str:
    request = Request("acme", Intent.BUILD, message, history=history)
    system, user = questions.first(BRIEF, request, context_tokens=context_tokens, max_tokens=700)
    assert system.content == BRIEF.instructions
    return user.content


def test_the_instructions_are_short_and_name_every_tool() -> None:
    assert len(BRIEF.instructions) < 1_800
    assert all(name in BRIEF.instructions for name in tools.TOOLS)
    assert "{tools}" not in BRIEF.instructions


def test_the_schema_has_a_data_node_for_each_allowed_tool_and_no_long_strings() -> None:
    schema = questions.brief(LIBRARY, (tools.TIME,)).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    call = {"id": "a", "kind": "data", "tool": "time", "args": {"timezone": "UTC"}}
    assert validator.is_valid({"name": "x", "nodes": [call]})
    assert not validator.is_valid({"name": "x", "nodes": [{**call, "tool": "calculator"}]})
    assert not validator.is_valid({"name": "x", "nodes": [{**call, "args": {"zone": "UTC"}}]})
    assert not validator.is_valid({"name": "x", "nodes": [{**call, "id": "A b"}]})


def test_the_example_in_the_instructions_fits_the_schema_and_is_a_valid_plan() -> None:
    example = validation.loads(BRIEF.instructions.rpartition("Example:\n")[2].encode())
    jsonschema.validate(example, BRIEF.schema)
    made = policy.from_draft(policy.tidied(example), LIBRARY.blueprints["build"])
    assert validation.validate(made, tools=tools.SCHEMAS, kinds=RUNNABLE) == []


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
    again = questions.again(question, '{"name":"y"}', [Fault("/nodes", "missing")], library=LIBRARY)
    assert again[:2] == question
    assert [message.role for message in again] == ["system", "user", "assistant", "user"]
    assert "- /nodes: missing" in again[3].content
