"""Names in texts: found whole or not at all, the longest of those that overlap, and never guessed between two."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from headrace_executor.engine import entities, written
from headrace_executor.engine.entities import Mention, Names, Record, Unreadable
from hypothesis import given
from hypothesis import strategies as st


def record(name: str, record_id: Any = None, kind: str = "class", **details: Any) -> Record:
    return Record(kind, name if record_id is None else record_id, (name,), details)


def find(text: str, *known: Record) -> Sequence[Mention]:
    return entities.mentions(text, [Names(known)])


def ids(text: str, *known: Record) -> list[list[Any]]:
    return [[one.id for one in mention.records] for mention in find(text, *known)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a report for 3B, please", "3B"),
        ("a report for ３ｂ", "3B"),
        ("Report für STRASSE 9", "Straße 9"),
        ("anna \n  schmidt", "Anna Schmidt"),
        ("Anna\u3000Schmidt", "Anna Schmidt"),
        ("Zoe\u0308's grades", "Zoë"),
        ("３年Ｂ組の成績", "3年B組"),
        ("请看王小明的成绩", "王小明"),
        ("请看三班的成绩", "三班"),
        ("3B班的报告", "3B"),
        ("ﾊﾞﾗ組", "バラ組"),
        ("(3B)", "3B"),
        ("compare 3B/4C", "4C"),
    ],
)
def test_a_name_is_found_however_it_is_written(text: str, name: str) -> None:
    (mention,) = find(text, record(name))
    assert mention.exact
    assert text[mention.start : mention.end] == mention.text
    assert written.normalised(mention.text) == written.normalised(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("13B", "3B"),
        ("3BC", "3B"),
        ("3b_old", "3B"),
        ("version 1.3b", "3B"),
        ("3b.5", "5"),
        ("1.35", "35"),
        ("35,17", "35"),
        ("十三班", "三班"),
        ("Johannes", "Johann"),
        ("e\u0301mile", "mile"),
        ("a b", "a"),
    ],
)
def test_a_part_of_another_word_or_number_is_no_name(text: str, name: str) -> None:
    assert not [one for one in find(text, record(name)) if one.exact]


def test_of_names_that_overlap_the_longest_is_meant() -> None:
    known = record("3B"), record("Class 3B"), record("Class 3B honours"), record("honours list")
    assert ids("class 3b honours list, and 3b", *known) == [["Class 3B honours"], ["3B"]]


def test_two_records_of_one_name_are_not_guessed_between() -> None:
    known = record("3B", 1, year=2024), record("3B", 2, year=2025), record("4C", 3)
    first, second = find("3B and 4C", *known)
    assert (first.ambiguous, second.ambiguous) == (True, False)
    assert [one.id for one in first.records] == [1, 2]


def test_one_of_them_is_meant_by_a_longer_name() -> None:
    known = Record("class", 1, ("3B", "3B (2024)")), Record("class", 2, ("3B", "3B (2025)"))
    assert ids("the report of 3B (2025)", *known) == [[2]]


def test_the_same_record_twice_is_one() -> None:
    assert ids("3B, and again 3B", record("3B", 1), record("3B", 1)) == [[1]]


def test_a_name_of_two_kinds_is_ambiguous() -> None:
    assert entities.mentions("Rose", [Names([record("Rose", 1)]), Names([record("Rose", 1, "student")])])[0].ambiguous


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Jonson's grades", "Johnson"),
        ("for Micheal", "Michael"),
        ("anna schmit", "Anna Schmidt"),
        ("Clas 3 Honours", "Class 3 honours"),
    ],
)
def test_a_name_that_is_clearly_nearest_is_meant(text: str, name: str) -> None:
    (mention,) = find(text, record(name), record("Wholly Different"))
    assert (mention.exact, mention.records[0].id) == (False, name)


def test_two_that_are_as_near_are_asked_about() -> None:
    assert ids("Anna Schmit", record("Anna Schmidt"), record("Anna Schmitz")) == [["Anna Schmidt", "Anna Schmitz"]]


def test_one_that_is_written_exactly_is_meant_however_near_another_is() -> None:
    assert ids("Anna Schmidt", record("Anna Schmidt"), record("Anna Schmitz")) == [["Anna Schmidt"]]


@pytest.mark.parametrize(("text", "name"), [("the form", "from"), ("class list", "Claus"), ("4b", "3b"), ("Anne", "Anna")])
def test_short_names_are_not_guessed(text: str, name: str) -> None:
    assert not find(text, record(name))


def test_a_text_that_repeats_a_name_a_thousand_times_is_answered() -> None:
    assert ids("3B " * 10_000, record("3B")) == [["3B"]]


# Names of letters that no filler has, so that whatever is found was planted.
_WORD = st.text(st.sampled_from("kqxzKQXZ"), min_size=2, max_size=6)
_LATIN = st.lists(_WORD, min_size=1, max_size=3).map(" ".join)
_CJK = st.text(st.sampled_from("龍鳳龜麟虎豹"), min_size=2, max_size=4)
_FILLER = st.text(st.sampled_from("abcde fgh, .!\n的了在"), max_size=12)
_BORDER = st.sampled_from([" ", ", ", "\n", " (", "的", "，", "！"])


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, list[str], list[Record]]:
    """A text, the names that it has in their order, and records of which some share a name."""
    names = draw(st.lists(_LATIN | _CJK, min_size=1, max_size=6, unique_by=written.normalised))
    known = [Record("kind", f"{name}/{copy}", (name,)) for name in names for copy in range(draw(st.integers(1, 2)))]
    chosen = draw(st.lists(st.sampled_from(names), max_size=4))
    text = draw(_FILLER)
    for name in chosen:
        spaced = draw(st.sampled_from([name, name.upper(), name.lower(), name.replace(" ", "  ")]))
        text += f"{draw(_BORDER)}{spaced}{draw(_BORDER)}{draw(_FILLER)}"
    return text, chosen, known


def oracle(text: str, known: Sequence[Record]) -> set[tuple[int, frozenset[Any]]]:
    """Every place of a normalised text where a name stands alone and in no longer one, and whose it is."""

    def apart(at: int) -> bool:
        if at in (0, len(text)):
            return True
        return not all(one.isalnum() and one.isascii() for one in (text[at - 1], text[at]))

    whose: dict[tuple[int, int], set[Any]] = {}
    for one in known:
        name = written.normalised(one.names[0])
        for start in range(len(text)):
            end = start + len(name)
            if text[start:end] == name and apart(start) and apart(end):
                whose.setdefault((start, end), set()).add(one.id)
    taken: list[tuple[int, int]] = []
    for start, end in sorted(whose, key=lambda place: (place[0] - place[1], place[0])):
        if all(end <= first or last <= start for first, last in taken):
            taken.append((start, end))
    return {(start, frozenset(whose[start, end])) for start, end in taken}


@given(planted())
def test_what_was_planted_is_found_as_a_slow_search_finds_it(case: tuple[str, list[str], list[Record]]) -> None:
    text, _, known = case
    expected = {whose for _, whose in oracle(written.Normal.of(text).text, known)}
    found = [one for one in entities.mentions(text, [Names(known)]) if one.exact]
    assert {frozenset(record.id for record in one.records) for one in found} == expected


@given(planted())
def test_a_mention_is_ambiguous_exactly_when_two_records_share_its_name(case: tuple[str, list[str], list[Record]]) -> None:
    text, _, known = case
    for mention in entities.mentions(text, [Names(known)]):
        if mention.exact:
            name = written.normalised(mention.text)
            assert mention.ambiguous == (sum(written.normalised(one.names[0]) == name for one in known) > 1)


@given(planted(), st.text(st.sampled_from("abz09"), min_size=1, max_size=3), st.booleans())
def test_nothing_is_found_across_the_border_of_a_word(
    case: tuple[str, list[str], list[Record]], glue: str, before: bool
) -> None:
    _, _, known = case
    name = known[0].names[0]
    if not name.isascii():
        return
    text = f"{glue}{name}" if before else f"{name}{glue}"
    own = written.normalised(name)
    assert all(written.normalised(one.text) != own or not one.exact for one in entities.mentions(text, [Names(known)]))


@given(st.text(max_size=80), st.lists(st.text(min_size=1, max_size=12), max_size=5))
def test_any_text_and_any_names_give_mentions_that_stand_apart(text: str, names: list[str]) -> None:
    normal = written.Normal.of(text)
    assert len(normal.text) == len(normal.places)
    found = entities.mentions(text, [Names([Record("kind", n, (name,)) for n, name in enumerate(names)])])
    for before, after in itertools.pairwise(found):
        assert before.start <= after.start
    for one in found:
        assert text[one.start : one.end] == one.text


class TestRecords:
    def test_reads_ids_names_and_what_tells_them_apart(self) -> None:
        found = {"data": {"classes": [{"id": 7, "name": "3B", "aliases": ["B3", "three b"], "year": 2025, "pupils": [1]}]}}
        (one,), left = entities.records(
            found, kind="class", items="/data/classes", id_field="id", name_fields=["name", "aliases"]
        )
        assert one == Record("class", 7, ("3B", "B3", "three b"), {"year": 2025})
        assert left == 0

    def test_passes_over_what_has_no_id_or_no_name(self) -> None:
        wrong = [{"id": 1}, {"name": "x"}, {"id": True, "name": "x"}, {"id": "", "name": "x"}, {"id": 1, "name": " "}, 3]
        assert entities.records(wrong, kind="k", items="", id_field="id", name_fields=["name"]) == ([], 0)

    def test_reads_no_more_than_it_may(self) -> None:
        many = [{"id": n, "name": f"n{n}"} for n in range(entities.MAX_RECORDS + 3)]
        found, left = entities.records(many, kind="k", items="", id_field="id", name_fields=["name"])
        assert (len(found), left) == (entities.MAX_RECORDS, 3)

    @pytest.mark.parametrize(
        ("found", "items"),
        [({}, ""), ({"a": 1}, "/b"), ({"a": [1]}, "/a/x"), ([], "/5"), (None, "/a"), ({"a/b": {}}, "/a~1b")],
    )
    def test_says_what_is_no_list(self, found: Any, items: str) -> None:
        with pytest.raises(Unreadable):
            entities.records(found, kind="k", items=items, id_field="id", name_fields=["name"])
