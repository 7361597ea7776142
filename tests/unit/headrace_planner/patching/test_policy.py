"""What a change makes of a blueprint, and which nodes run again."""

import copy
from typing import Any

import pytest
from headrace_blueprint import references, validation
from headrace_blueprint.faults import InvalidBlueprint
from headrace_blueprint.model import Blueprint
from headrace_blueprint.plan import compile_plan
from headrace_planner.errors import PatchTooLong
from headrace_planner.model import RUNNABLE
from headrace_planner.patching import policy
from headrace_planner.patching.model import Addition, Change, Page, Patched
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.headrace_planner.patching import pages
from tests.unit.headrace_planner.patching.pages import REPORT, TOOLS, compose, page

SENTENCE = "make it shorter ${inputs.message} ${"


def applied(change: Change, of: Page = REPORT, instruction: str = SENTENCE) -> Patched:
    patched = policy.applied(of, change, instruction, tools=TOOLS)
    assert validation.validate(patched.document, tools=TOOLS, kinds=RUNNABLE) == []
    return patched


def faults(change: Change, of: Page = REPORT) -> list[str]:
    with pytest.raises(InvalidBlueprint) as caught:
        policy.applied(of, change, SENTENCE, tools=TOOLS)
    return [fault.pointer for fault in caught.value.faults]


def nodes(document: Any) -> dict[str, Any]:
    return {node["id"]: node for node in document["nodes"]}


def test_a_rewritten_section_runs_alone_with_the_sentence_in_its_prompt() -> None:
    before = copy.deepcopy(REPORT.document)
    patched = applied(Change(rewrite=("summary",)))
    assert (patched.nodes, patched.rewritten) == (("summary",), ("summary",))
    prompt = nodes(patched.document)["summary"]["prompt"]
    assert references.resolve(prompt, {"nodes": {"grades": {"output": "G"}}}) == f"Summarise G{policy.CHANGE}{SENTENCE}"
    assert {name: node for name, node in nodes(patched.document).items() if name != "summary"} == {
        name: node for name, node in nodes(before).items() if name != "summary"
    }
    assert patched.document["layout"] == before["layout"]
    assert before == REPORT.document


def test_of_twelve_sections_one_is_rewritten_and_eleven_stay() -> None:
    sections = [compose(f"s{at}", "Write ${nodes.s0.output}" if at else "Write ${inputs.message}") for at in range(12)]
    patched = applied(Change(rewrite=("s0",)), page(sections, {node["id"]: node["id"] for node in sections}))
    assert (patched.nodes, patched.rewritten) == (("s0",), ("s0",))
    assert patched.document["nodes"][1:] == sections[1:]


def test_a_map_of_sections_is_written_anew_whole() -> None:
    patched = applied(Change(rewrite=("comments",)))
    assert (patched.nodes, patched.rewritten) == (("comments",), ())
    assert SENTENCE in references.resolve(nodes(patched.document)["comments"]["node"]["prompt"], {"item": "x"})


def test_a_computed_slot_is_written_anew_by_the_section_behind_it() -> None:
    patched = applied(Change(rewrite=("quiz",)))
    assert (patched.nodes, patched.rewritten) == (("draft", "quiz"), ())
    assert nodes(patched.document)["quiz"] == nodes(REPORT.document)["quiz"]
    assert policy.CHANGE in nodes(patched.document)["draft"]["prompt"]


def test_a_flow_runs_again_and_is_told_the_sentence_beside_its_blueprint() -> None:
    flow = {"id": "letter", "kind": "flow", "workflow_id": "letter", "inputs": {"class": "${inputs.class_id}"}}
    of = page([flow, compose("outlook", "Look at ${nodes.letter.output}")], {"letter": "letter", "outlook": "outlook"})
    patched = applied(Change(rewrite=("letter",)), of)
    assert (patched.nodes, patched.rewritten) == (("letter", "outlook"), ("letter",))
    assert patched.document == of.document


def test_data_that_is_fetched_again_goes_on_to_all_that_needs_it() -> None:
    patched = applied(Change(rewrite=("grades",)))
    assert patched.nodes == ("grades", "weak", "summary", "comments", "advice")
    assert patched.rewritten == ()
    assert patched.document == REPORT.document


def test_a_changed_input_goes_on_from_all_that_read_it() -> None:
    patched = applied(Change(inputs={"class_id": 2}))
    assert patched.nodes == ("grades", "weak", "summary", "comments", "advice")
    assert patched.inputs == {"message": "M", "class_id": 2, "term": "a"}
    assert applied(Change(inputs={"term": "b"})).nodes == ("outlook",)


def test_a_removed_slot_takes_along_what_nothing_else_needs() -> None:
    patched = applied(Change(remove=("quiz",)))
    assert patched.nodes == ()
    assert REPORT.document["nodes"][:5] + REPORT.document["nodes"][7:] == patched.document["nodes"]
    assert "quiz" not in [slot["slot"] for slot in patched.document["layout"]]


def test_a_removed_slot_leaves_what_others_read_and_the_output_moves() -> None:
    patched = applied(Change(remove=("summary",)))
    assert nodes(patched.document).keys() == nodes(REPORT.document).keys()
    assert patched.document["output"] == "${nodes.advice.output}"


def test_a_branch_lets_go_of_a_section_that_is_gone() -> None:
    way = {"id": "way", "kind": "branch", "cases": [{"when": "inputs.class_id > 1", "then": ["a", "b"]}], "else": ["c"]}
    sections = [way, *(compose(name, "Write") for name in "abc")]
    of = page(sections, {name: name for name in "abc"})
    assert nodes(applied(Change(remove=("b",)), of).document)["way"]["cases"][0]["then"] == ["a"]
    assert "way" not in nodes(applied(Change(remove=("a", "b", "c"), add=(Addition("T", "Write"),)), of).document)


def test_an_added_section_has_an_id_of_its_own_and_follows_what_it_names() -> None:
    additions = (Addition("Homework ${x}", "Set homework on ${nodes.weak.output}", "summary"), Addition("More", "Write"))
    patched = applied(Change(add=additions))
    assert patched.nodes == ("added", "added_2")
    layout = patched.document["layout"]
    assert (layout[1]["slot"], layout[-1]["slot"]) == ("added", "added_2")
    assert nodes(patched.document)["added"]["model"] == "big"
    assert references.needs(nodes(patched.document)["added_2"]["prompt"]) == {"grades", "weak"}


def test_what_an_added_section_reads_is_not_taken_away_with_another() -> None:
    added = Addition("Homework", "Set homework on ${nodes.weak.output}")
    assert "weak" in nodes(applied(Change(remove=("advice", "comments"), add=(added,))).document)


def test_two_slots_of_one_node_are_rewritten_together() -> None:
    of = page([compose("text", "Write")], {"here": "text", "there": "text"})
    assert applied(Change(rewrite=("there",)), of).rewritten == ("here", "there")
    assert applied(Change(rewrite=("there",), remove=("here",)), of).rewritten == ("there",)


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (Change(), ""),
        (Change(rewrite=("nowhere",)), "/rewrite"),
        (Change(remove=("nowhere",)), "/remove"),
        (Change(remove=("summary", "advice", "comments", "grades", "quiz", "outlook")), "/remove"),
        (Change(add=(Addition("T", "Use ${nodes.summary.output}"),)), "/add/0/prompt"),
        (Change(add=(Addition("T", "Use ${nodes."),)), "/add/0/prompt"),
        (Change(add=(Addition("T", "x", "nowhere"),)), "/add"),
        (Change(inputs={"class_id": 0}), "/inputs/class_id"),
        (Change(inputs={"class_id": 1}), "/inputs"),
        (Change(inputs={"message": "other"}), "/inputs/message"),
        (Change(inputs={"nowhere": 1}), "/inputs/nowhere"),
    ],
)
def test_a_change_that_cannot_be_made_says_why(change: Change, at: str) -> None:
    assert faults(change) == [at]


def test_a_prompt_without_room_says_so() -> None:
    of = page([compose("text", "x" * 32_700)], {"text": "text"})
    with pytest.raises(PatchTooLong, match="text has no room"):
        applied(Change(rewrite=("text",)), of)


def test_a_long_sentence_is_cut_and_the_same_slot_is_rewritten_again_and_again() -> None:
    of = page([compose("text", "Write")], {"text": "text"})
    for _ in range(5):
        patched = applied(Change(rewrite=("text",)), of, "y" * 30_000)
        of = Page(patched.document, Blueprint.model_validate(patched.document), patched.inputs)
    assert len(nodes(of.document)["text"]["prompt"]) < 5 * 2_100


@given(st.data())
def test_any_change_of_any_page_is_valid_and_touches_only_what_it_must(data: st.DataObject) -> None:
    of = data.draw(pages.pages())
    change = data.draw(pages.changes(of))
    before = copy.deepcopy(of.document)
    try:
        patched = policy.applied(of, change, SENTENCE, tools=TOOLS)
    except InvalidBlueprint:
        return
    assert of.document == before
    assert validation.validate(patched.document, tools=TOOLS, kinds=RUNNABLE) == []
    old, new = nodes(before), nodes(patched.document)
    plan = compile_plan(Blueprint.model_validate(patched.document))
    again, kept = set(patched.nodes), {slot["slot"] for slot in patched.document["layout"]}

    # A node that does not run again is as it was, branches apart, which let go of what is no more.
    for name, node in new.items():
        if name not in again and node["kind"] != "branch":
            assert node == old[name]
    # What runs again: what was asked for and written, and from changed data and inputs on all that needs it.
    added = new.keys() - old.keys()
    asked = {slot.node for slot in of.layout if slot.slot in change.rewrite and slot.slot not in change.remove}
    writers = set().union(*(policy.writing(of, compile_plan(of.blueprint), name) for name in asked))
    changed = {name for name, value in patched.inputs.items() if of.inputs.get(name) != value}
    differing = {name for name, node in new.items() if changed and _mentions(node, changed)}
    differing |= {name for name in asked if not _writes(new[name])}
    for name in plan.order:
        if plan.needs[name] & differing:
            differing.add(name)
    assert again == asked | writers | added | differing
    # Slots are those of before without the removed ones, in their order, and the added ones.
    assert kept - {slot.slot for slot in of.layout} == added
    assert [slot for slot in patched.document["layout"] if slot["slot"] not in added] == [
        {**slot, "title": change.rename.get(slot["slot"], slot["title"])}
        for slot in before["layout"]
        if slot["slot"] not in change.remove
    ]
    # What is no more was needed by removed slots alone, and nothing is lost without one.
    assert change.remove or old.keys() <= new.keys()
    assert set(patched.rewritten) <= kept
    assert all(
        new[slot["node"]]["kind"] in ("compose", "flow")
        for slot in patched.document["layout"]
        if slot["slot"] in patched.rewritten
    )
    assert bool(again) or not (change.rewrite or change.add or changed) or set(change.rewrite) <= set(change.remove)


def _writes(node: Any) -> bool:
    return node["kind"] == "compose" or (node["kind"] == "map" and node["node"]["kind"] == "compose")


def _mentions(node: Any, inputs: set[str]) -> bool:
    """Whether a node of these tests reads one of the inputs, or all of them."""
    texts = [text for path, text in references.strings(node) if path[0] not in ("id", "kind")]
    return any(f"inputs.{name}" in text or "size(inputs)" in text for text in texts for name in inputs)
