"""Entity tags and preconditions are read as RFC 9110 has them."""

import pytest
from headrace_edge import etags, preconditions
from headrace_edge.policy import Refused
from headrace_edge.preconditions import Precondition
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(min_value=1, max_value=2**63 - 1))
def test_the_tag_of_a_revision_means_that_revision(revision: int) -> None:
    tag = etags.of_revision(revision)
    expected = revision if revision < 10**preconditions.MAX_DIGITS else 0
    assert preconditions.read(tag, None) == Precondition("revision", expected)
    assert etags.none_match(tag, tag)
    assert etags.none_match(f'"x", W/{tag}', tag)
    assert not etags.none_match(etags.of_revision(revision + 1), tag)


@given(st.text(max_size=40))
def test_any_other_if_match_is_on_no_revision(header: str) -> None:
    found = preconditions.read(header, None)
    assert found.kind in ("revision", "present")
    if found.revision:
        assert header.strip() in (f'"{found.revision}"', f'"{header.strip()[1:-1]}"')
        assert header.strip()[1:-1].isdigit()


def test_the_words_for_nothing_and_anything() -> None:
    assert preconditions.read(None, None) == Precondition("unsaid")
    assert preconditions.read(None, " * ") == Precondition("absent")
    assert preconditions.read("*", None) == Precondition("present")
    assert not etags.none_match(None, '"1"')


@given(st.text(max_size=20).filter(lambda text: text.strip() != "*"))
def test_a_write_takes_no_other_if_none_match(header: str) -> None:
    with pytest.raises(Refused):
        preconditions.read(None, header)


@given(st.binary(), st.binary())
def test_contents_have_tags_of_their_own(one: bytes, other: bytes) -> None:
    assert (etags.of_content(one) == etags.of_content(other)) == (one == other)
