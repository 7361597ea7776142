"""Chunks hold the whole text, in order, within their limit, cut where a reader would cut."""

from headrace_rag.chunking import Cut, chunks
from hypothesis import given
from hypothesis import strategies as st


def words(text: str) -> int:
    return len(text.split())


def letters(text: str) -> int:
    return len(text)


def cut(text: str, limit: int = 10, overlap: int = 0) -> list[str]:
    return [chunk.text for chunk in chunks(text, Cut(limit, overlap), count=words)]


@given(
    st.lists(st.sampled_from([" ", ". ", "\n", "\n\n", "。", ""]), max_size=80),
    st.integers(9, 40),
    st.integers(0, 9),
)
def test_nothing_is_lost_and_nothing_is_too_long(seams: list[str], limit: int, overlap: int) -> None:
    text = "".join(f"{'# ' * (number % 7 == 0)}{number:04}{seam}" for number, seam in enumerate(seams))

    found = chunks(text, Cut(limit, overlap), count=letters)

    at = 0
    for chunk in found:
        assert 0 < len(chunk.text) <= limit
        assert chunk.tokens <= limit
        start = text.index(chunk.text, max(0, at - overlap))
        assert text[at:start].strip() == ""
        at = max(at, start + len(chunk.text))
    assert text[at:].strip() == ""


@given(st.text(alphabet="abc \n", max_size=300))
def test_without_overlap_chunks_are_the_text(text: str) -> None:
    assert "".join("".join(cut(text, 3)).split()) == "".join(text.split())


def test_paragraphs_stay_whole_where_they_fit() -> None:
    assert cut("one two three four\n\nfive six seven\n\neight nine ten eleven") == [
        "one two three four\n\nfive six seven",
        "eight nine ten eleven",
    ]


def test_a_heading_begins_a_chunk_once_the_one_before_is_half_full() -> None:
    assert cut("a b c d e f\n\n# Title\n\ng h", 9) == ["a b c d e f", "# Title\n\ng h"]
    assert cut("a b\n\n# Title\n\ng h") == ["a b\n\n# Title\n\ng h"]


def test_sentences_are_cut_before_words_in_any_script() -> None:
    assert cut("a b c d e f. g h i j k l. m n.") == ["a b c d e f.", "g h i j k l. m n."]
    found = [chunk.text for chunk in chunks("水磨坊在河边。谷仓在山上。", Cut(8, 0), count=letters)]
    assert found == ["水磨坊在河边。", "谷仓在山上。"]


def test_a_chunk_repeats_the_end_of_the_one_before() -> None:
    assert cut("a b c d. e f g h. i j. k l m n.", limit=10, overlap=3) == ["a b c d. e f g h. i j.", "i j. k l m n."]


def test_a_word_without_an_end_is_cut_all_the_same() -> None:
    found = chunks("x" * 10_000, Cut(100, 10), count=letters)

    assert "".join(chunk.text for chunk in found) == "x" * 10_000
    assert max(chunk.tokens for chunk in found) <= 100


def test_a_book_is_never_counted_whole() -> None:
    longest = 0

    def count(text: str) -> int:
        nonlocal longest
        longest = max(longest, len(text))
        return words(text)

    chunks("word and word. " * 20_000, Cut(100, 0), count=count)

    assert longest <= 2000
