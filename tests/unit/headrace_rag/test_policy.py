"""Names, limits and citations."""

from datetime import UTC, datetime

import pytest
from headrace_rag import policy
from headrace_rag.model import Entity, Found, Mark, Passage, Relation, Space
from headrace_runtime.errors import InvalidArgument, Violation
from hypothesis import given
from hypothesis import strategies as st

TENANTS = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)
WORKSPACES = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
SPACES = st.builds(Space, TENANTS, WORKSPACES)
DOCUMENTS = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)


@given(SPACES, SPACES)
def test_no_two_workspaces_have_one_name_in_the_index(one: Space, other: Space) -> None:
    assert (policy.index_name(one) == policy.index_name(other)) == (one == other)


@given(SPACES)
def test_a_workspace_is_no_path_and_fits_its_column(space: Space) -> None:
    name = policy.index_name(space)

    assert "/" not in name
    assert "\\" not in name
    assert name not in (".", "..")
    assert len(policy.index_name(Space("t" * 128, "w" * 64))) <= 255


@given(DOCUMENTS, st.integers(0, 99_999))
def test_a_chunks_id_tells_its_document(document_id: str, number: int) -> None:
    assert policy.document_of(f"{policy.index_id(document_id)}-chunk-{number:03}") == document_id


@pytest.mark.parametrize("chunk_id", ["", "chunk-1", "dup-abc-chunk-000", "d-abc", "d-abc-chunk-"])
def test_what_is_no_chunk_of_ours_has_no_document(chunk_id: str) -> None:
    assert policy.document_of(chunk_id) is None


def test_no_workspace_means_the_default_one() -> None:
    space, faults = policy.space("acme", "")

    assert space == Space("acme", "default")
    assert list(faults) == []


@pytest.mark.parametrize("name", ["a/b", "a~b", "ä", "", "a b", "x" * 129, "a\n"])
def test_names_that_could_be_mistaken_are_refused(name: str) -> None:
    assert [fault.field for fault in policy.space(name, "w")[1]] == ["tenant_id"]
    assert [fault.field for fault in policy.document_faults(name)] == ["document_id"]


@pytest.mark.parametrize("name", ["a.b", "a/b", "a~b", "..", "x" * 65])
def test_workspaces_that_could_be_mistaken_are_refused(name: str) -> None:
    assert [fault.field for fault in policy.space("t", name)[1]] == ["workspace"]


@pytest.mark.parametrize(
    ("title", "text", "fields"),
    [
        ("", "a", []),
        ("t" * 512, "é" * (1024 * 1024), []),
        ("t" * 513, "a", ["title"]),
        ("", "é" * (1024 * 1024 + 1), ["text"]),
        ("", " \n\t", ["text"]),
        ("", "\x00\x07", ["text"]),
    ],
)
def test_content_has_limits(title: str, text: str, fields: list[str]) -> None:
    assert [fault.field for fault in policy.source_faults(title, text)] == fields


@pytest.mark.parametrize(
    ("query", "top_k", "fields"),
    [("a", 0, []), ("a" * 8192, 50, []), ("a" * 8193, 51, ["query", "top_k"]), (" ", -1, ["query", "top_k"])],
)
def test_searches_have_limits(query: str, top_k: int, fields: list[str]) -> None:
    assert [fault.field for fault in policy.query_faults(query, top_k)] == fields


def test_all_faults_are_told_at_once() -> None:
    faults = (Violation("a", "is wrong"), Violation("b", "is too"))

    with pytest.raises(InvalidArgument) as caught:
        policy.refuse(iter(faults))
    policy.refuse(iter(()))

    assert caught.value.violations == faults


@given(st.text())
def test_clean_text_has_nothing_that_postgres_refuses(text: str) -> None:
    cleaned = policy.clean(text)

    assert "\x00" not in cleaned
    assert policy.clean(cleaned) == cleaned


def test_title_and_text_make_the_digest_and_cannot_be_shifted_into_each_other() -> None:
    digests = {policy.source("d", *content).digest for content in (("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"))}

    assert len(digests) == 4
    assert policy.source("d", " ab ", "c").digest == policy.source("d", "ab", "c").digest
    assert policy.source("d", "", "c").title == "d"


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), DOCUMENTS)
def test_a_page_token_leads_back_to_its_document(moment: datetime, document_id: str) -> None:
    mark = Mark(moment.replace(tzinfo=UTC), document_id)

    assert policy.read_page_token(policy.page_token(mark)) == mark


@given(st.text(min_size=1, max_size=80))
def test_what_is_no_page_token_is_refused_and_nothing_else_happens(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        policy.read_page_token("!" + token)

    assert caught.value.violations[0].field == "page_token"


def test_only_titled_passages_are_cited_each_once_and_no_more_than_asked_for() -> None:
    found = Found(
        passages=[Passage("a", "1", 0.9), Passage("gone", "2"), Passage("a", "1"), Passage("b", "3"), Passage("b", "4")],
        entities=[Entity(f"e{number}", "Event", "x" * 5000) for number in range(9)],
        relations=[Relation(f"r{number}", "t", "", "x" * 5000) for number in range(9)],
    )

    cited = policy.cite(found, {"a": "A", "b": "B"}, top_k=2)

    assert cited.passages == (Passage("a", "1", 0.9, "A"), Passage("b", "3", None, "B"))
    assert [entity.name for entity in cited.entities] == ["e0", "e1", "e2", "e3"]
    assert len(cited.relations) == 4
    assert {len(one.description) for one in cited.entities} == {policy.MAX_DESCRIPTION_CHARS}
    assert {len(one.description) for one in cited.relations} == {policy.MAX_DESCRIPTION_CHARS}
