"""Which slots a sentence names, and which sentences need no model."""

import pytest
from headrace_blueprint.model import Slot
from headrace_planner.patching import naming
from headrace_planner.patching.model import Addition, Change
from hypothesis import given
from hypothesis import strategies as st

TITLES = {
    "summary": "Summary",
    "exec": "Executive summary",
    "weak_points": "Weak points",
    "zongjie": "总结",
    "key_points": "重点总结",
    "outlook": "Outlook for next term",
    "more": "More",
}
LAYOUT = [Slot(slot=slot, title=title, node="n") for slot, title in TITLES.items()]
TWELVE = [Slot(slot=f"s{at}", title=f"Part {at}", node="n") for at in range(11)] + [LAYOUT[0]]


def plain(sentence: str) -> Change | None:
    return naming.plain(sentence, LAYOUT)


@pytest.mark.parametrize(
    ("sentence", "slots"),
    [
        ("Rework the summary for parents", ["summary"]),
        ("The EXECUTIVE  SUMMARY is too harsh", ["exec"]),
        ("the executive summary and the summary disagree", ["summary", "exec"]),
        ("fix weak_points", ["weak_points"]),
        ("Fix “Weak points”!", ["weak_points"]),
        ("总结太长了", ["zongjie"]),
        ("重点总结太长了", ["key_points"]),
        ("把summary改成表格", ["summary"]),
        ("summaries are boring", []),
        ("everything is too long", []),
        ("", []),
    ],
)
def test_a_slot_is_named_by_its_title_or_its_id(sentence: str, slots: list[str]) -> None:
    assert naming.named(sentence, LAYOUT) == slots


@pytest.mark.parametrize(
    ("sentence", "slots"),
    [
        ("make the summary shorter", ("summary",)),
        ("Please make the Summary a bit shorter and simpler.", ("summary",)),
        ("translate the executive summary into English", ("exec",)),
        ("把总结写短一点", ("zongjie",)),
        ("请把重点总结改得更简单", ("key_points",)),
        ("make the outlook longer", ("outlook",)),
        ("rewrite weak points and the outlook for next term", ("weak_points", "outlook")),
    ],
)
def test_a_sentence_of_names_and_style_alone_is_plain(sentence: str, slots: tuple[str, ...]) -> None:
    assert plain(sentence) == Change(rewrite=slots)


@pytest.mark.parametrize(
    ("sentence", "slots"),
    [
        ("remove the summary", ("summary",)),
        ("drop outlook", ("outlook",)),
        ("删掉总结", ("zongjie",)),
        ("delete weak points and summary", ("summary", "weak_points")),
    ],
)
def test_a_sentence_of_names_and_removal_alone_is_plain(sentence: str, slots: tuple[str, ...]) -> None:
    assert plain(sentence) == Change(remove=slots)


@pytest.mark.parametrize(
    ("sentence", "slot", "title"),
    [
        ("rename the summary to Overview", "summary", "Overview"),
        ("Please rename the Executive summary section to Brief for the board.", "exec", "Brief for the board"),
        ('rename "Weak points" to "Strengths, and what is weak"', "weak_points", "Strengths, and what is weak"),
        ("retitle outlook as “Next term”!", "outlook", "Next term"),
        ("rename more into Even more", "more", "Even more"),
        ("把总结改名为概览", "zongjie", "概览"),
        ("请把重点总结的标题重命名为“要点（上）”。", "key_points", "要点（上）"),
    ],
)
def test_a_sentence_that_only_says_what_a_slot_is_called_is_plain(sentence: str, slot: str, title: str) -> None:
    assert plain(sentence) == Change(rename={slot: title})


@pytest.mark.parametrize(
    "sentence",
    [
        "rename the summary to Overview and make it shorter",
        "rename the summary to Overview, shorter",
        "rename the summary to Summary",
        "rename the conclusion to Overview",
        "rename the summary and the outlook to Overview",
        "do not rename the summary to Overview",
        "rename the summary to something that parents would like better",
        f"rename the summary to “{'x' * 61}”",
        "rename the summary",
        "rename the summary to “Overview” in the table",
        "把总结改名为概览再写短一点",
    ],
)
def test_a_new_title_that_may_be_more_than_one_is_left_to_a_model(sentence: str) -> None:
    assert plain(sentence) is None


@pytest.mark.parametrize(
    "sentence",
    [
        "make the summary for parents",
        "do not make the summary shorter",
        "不要把总结写短",
        "make everything but the summary shorter",
        "make it shorter",
        "make it more formal",
        "the summary",
        "remove the second sentence of the summary",
        "remove it",
        "remove the outlook for parents",
        "add a section after the summary",
        "make the summary shorter than the outlook",
        "make points shorter",
        "use class 4 in the summary",
        "make the summary shorter " * 20,
        "",
    ],
)
def test_any_other_sentence_is_left_to_a_model(sentence: str) -> None:
    assert plain(sentence) is None


def test_of_twelve_slots_the_one_that_is_named_is_meant() -> None:
    assert naming.plain("make the summary shorter", TWELVE) == Change(rewrite=("summary",))


def test_a_name_that_two_slots_have_is_not_plain_and_names_both() -> None:
    twins = [Slot(slot="a", title="Notes", node="n"), Slot(slot="b", title="Notes", node="n")]
    assert naming.plain("make the notes shorter", twins) is None
    assert naming.named("make the notes shorter", twins) == ["a", "b"]
    assert naming.plain("rename the notes to Marks", twins) is None


def test_the_last_slot_is_not_removed() -> None:
    assert naming.plain("remove the summary", LAYOUT[:1]) is None


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=4))
def test_any_sentence_over_any_titles_names_slots_that_there_are(sentence: str, titles: list[str]) -> None:
    layout = [Slot.model_construct(slot=f"s{at}", title=title, node="n") for at, title in enumerate(titles)]
    known = {slot.slot for slot in layout}
    change = naming.plain(sentence, layout)
    assert set(naming.named(sentence, layout)) <= known
    assert change is None or {*change.rewrite, *change.remove} <= known


@pytest.mark.parametrize(
    ("sentence", "change", "agrees"),
    [
        ("the points are dull", Change(rewrite=["weak_points"]), True),
        ("the points are dull", Change(rewrite=["weak_points", "summary"]), False),
        ("make it friendlier", Change(rewrite=["summary"]), False),
        ("is it for the next term?", Change(rewrite=["outlook"]), True),
        ("it is not for me", Change(rewrite=["outlook"]), False),
        ("add the population", Change(add=[Addition("Population", "Write")]), True),
        ("add the population", Change(add=[Addition("Outlook", "Write")]), False),
        ("加上人口", Change(add=[Addition("人口", "写")]), True),
        ("the same for class 4", Change(inputs={"class_id": 4}), True),
        ("the same for class 4", Change(inputs={"class_id": 5}), False),
    ],
)
def test_a_change_agrees_with_a_sentence_that_has_its_words(sentence: str, change: Change, agrees: bool) -> None:
    assert naming.agrees(change, sentence, LAYOUT) is agrees
