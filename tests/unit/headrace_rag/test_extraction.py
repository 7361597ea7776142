"""What the model is asked stays short, and what it answers is held to its schema."""

import json

import jsonschema
from headrace_rag import extraction
from headrace_rag.model import Keywords
from hypothesis import given
from hypothesis import strategies as st


def test_the_prompt_leaves_a_small_context_to_the_chunk() -> None:
    system = extraction.PROMPTS["entity_extraction_json_system_prompt"]

    assert len(system) < 800
    assert "{" not in system


def test_the_templates_take_what_lightrag_puts_in() -> None:
    asked = extraction.PROMPTS["entity_extraction_json_user_prompt"].format(
        input_text="A {text}.", heading_context_block=""
    )
    summary = extraction.PROMPTS["summarize_entity_descriptions"].format(
        description_type="Entity", description_name="Mill", description_list="one\ntwo", summary_length=9, language="en"
    )

    assert "A {text}." in asked
    assert extraction.summary_without_model(summary) == "one\ntwo"


def test_nothing_satisfies_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(extraction.SCHEMA)
    jsonschema.validate(json.loads(extraction.NOTHING), extraction.SCHEMA)


@given(st.lists(st.text(max_size=9), max_size=6), st.lists(st.text(max_size=9), max_size=6))
def test_keywords_are_never_empty(themes: list[str], names: list[str]) -> None:
    answer = {"themes": themes, "names": names}
    jsonschema.validate(answer, extraction.KEYWORDS_SCHEMA)

    keywords = extraction.read_keywords(json.dumps(answer), "what  feeds\nthe mill")

    assert all(word.strip() for word in (*keywords.themes, *keywords.names))
    assert keywords.themes
    assert keywords.names


def test_without_a_model_the_query_stands_for_its_keywords() -> None:
    assert extraction.keywords_without_model("what  feeds\nthe mill") == Keywords(
        ("what feeds the mill",), ("what feeds the mill",)
    )


def test_a_long_query_is_shown_to_the_model_in_part() -> None:
    asked = extraction.keywords_prompt("x" * 8192)[-1].content

    assert len(asked) == extraction.MAX_KEYWORDS_QUERY_CHARS
