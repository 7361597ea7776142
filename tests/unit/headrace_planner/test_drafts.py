"""What becomes of a model's draft."""

from typing import Any

import pytest
from headrace_blueprint import validation
from headrace_planner import drafts, library, toolbox
from headrace_planner.model import RUNNABLE, Entity

LIBRARY = library.load()
TEMPLATE = LIBRARY.blueprints["build"]
CLASS = Entity("class", "integer", "3B")


def node(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "kind": kind, **fields}


def draft(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"name": "Rivers", "nodes": list(nodes)}


def faults(document: Any) -> list[Any]:
    return validation.validate(document, tools=toolbox.schemas(toolbox.BUILTIN), kinds=RUNNABLE)


TEXT = node("compose", "text", title="Text", prompt="Write about ${inputs.message}")
LIST = node("compute", "list", expr="[1, 2]")


def test_a_draft_becomes_a_blueprint_with_a_slot_for_each_section() -> None:
    made = drafts.blueprint(
        draft(
            node("retrieve", "found", query="rivers"),
            node("compose", "intro", title="Intro", prompt="${nodes.found.output.text}"),
            node("compose", "more", title="More", prompt="${nodes.intro.output}", when="size(nodes.intro.output) > 10"),
        ),
        TEMPLATE,
    )
    assert made["layout"] == [
        {"slot": "intro", "title": "Intro", "node": "intro"},
        {"slot": "more", "title": "More", "node": "more"},
    ]
    assert made["output"] == "${nodes.intro.output}"
    assert made["nodes"][2]["when"] == "size(nodes.intro.output) > 10"
    assert faults(made) == []


def test_a_map_of_texts_fills_a_slot_and_a_map_of_calls_is_data() -> None:
    made = drafts.blueprint(
        draft(
            LIST,
            node("map", "each", over="${nodes.list.output}", tool="calculator", args={"expression": "${item} + 1"}),
            node("map", "notes", title="Notes", over="${nodes.each.output}", prompt="A note"),
            node("compose", "each_each", title="Text", prompt="${nodes.notes.output}"),
        ),
        TEMPLATE,
    )
    assert made["nodes"][1]["node"]["id"] == "each_each_2"
    assert made["nodes"][2]["node"] == {"id": "notes_each", "kind": "compose", "prompt": "A note" + drafts.ITEM}
    assert [slot["slot"] for slot in made["layout"]] == ["notes", "each_each"]
    assert made["output"] == "${nodes.each_each.output}"
    assert faults(made) == []


def test_a_branch_is_kept_and_names_only_nodes_that_are() -> None:
    way = node("branch", "way", when="inputs.message == 'x'", then=["text", "lost"], **{"else": ["other"]})
    other = node("compose", "other", title="Other", prompt="Write ${inputs.message}")
    made = drafts.blueprint(drafts.tidied(draft(LIST, node("retrieve", "lost", query="x"), way, TEXT, other)), TEMPLATE)
    assert made["nodes"][0]["cases"] == [{"when": "inputs.message == 'x'", "then": ["text"]}]
    assert made["nodes"][0]["else"] == ["other"]
    assert faults(made) == []


def test_tidying_drops_repeats_and_what_nothing_uses_and_renames_twins() -> None:
    clock = node("data", "clock", tool="time", args={})
    tidy = drafts.tidied(
        draft(
            node("retrieve", "lost", query="never read"),
            node("branch", "way", when="true", then=["lost"], **{"else": []}),
            node("retrieve", "first", query="read by the second"),
            node("retrieve", "found", query="${nodes.first.output.text}"),
            node("compose", "text", title="A", prompt="${nodes.found.output.text}"),
            node("compose", "text", title="B", prompt="again"),
            clock,
            clock,
        )
    )
    assert [one["id"] for one in tidy["nodes"]] == ["first", "found", "text", "text_2"]


def test_a_draft_of_nothing_but_useless_nodes_keeps_them_for_the_fault() -> None:
    tidy = drafts.tidied(draft(node("retrieve", "a", query="x")))
    assert [fault.pointer for fault in drafts.faults(tidy, ())] == ["/nodes"]


def test_a_section_that_reads_nothing_is_told_the_request() -> None:
    made = drafts.blueprint(draft(node("compose", "text", title="T", prompt="Write a poem")), TEMPLATE)
    assert made["nodes"][0]["prompt"] == "Write a poem" + drafts.REQUEST


def test_records_are_declared_as_inputs_that_a_run_has_to_give() -> None:
    text = node("compose", "text", title="T", prompt="A report on ${inputs.entities.class.name}")
    made = drafts.blueprint(draft(text), TEMPLATE, [CLASS])
    assert made["inputs"]["required"] == ["message", "entities"]
    record = made["inputs"]["properties"]["entities"]["properties"]["class"]
    assert record["properties"] == {"id": {"type": "integer"}, "name": {"type": "string"}}
    assert "entities" not in TEMPLATE["inputs"]["properties"]
    assert faults(made) == []


@pytest.mark.parametrize("reference", ["entities.pupil.id", "entities.class.age", "entities.class", "entities"])
def test_a_record_that_is_not_there_is_a_fault_with_what_is(reference: str) -> None:
    (fault,) = drafts.faults(draft({**TEXT, "prompt": f"Write on ${{inputs.{reference}}}"}), [CLASS])
    assert fault.pointer == "/nodes/0/prompt"
    assert "${inputs.entities.class.id}" in fault.hint


def test_a_record_beyond_those_of_its_kind_is_a_fault() -> None:
    two = [CLASS, Entity("class", "integer", "3C", 1)]
    for known in ("class_all", "class_all[1].id", "class.name"):
        assert drafts.faults(draft({**TEXT, "prompt": f"${{inputs.entities.{known}}}"}), two) == []
    for unknown in ("class_all[2].id", "class_all[0]", "pupil_all"):
        assert len(drafts.faults(draft({**TEXT, "prompt": f"${{inputs.entities.{unknown}}}"}), two)) == 1


def test_a_known_record_is_no_fault() -> None:
    assert (
        drafts.faults(draft({**TEXT, "prompt": "${inputs.entities.class.id} ${inputs.entities.class.name}"}), [CLASS]) == []
    )
