"""A page's documents: what was written is read, and whoever wrote it decides on no tag, attribute or address."""

from typing import Any

import orjson
import pytest
from headrace_edge.pages import html, markdown, shapes
from headrace_edge.pages.model import Page
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.support.hostile_pages import OURS, SNIPPETS, Reader, nested, page, pages, scalars, squeezed, values

plain = st.text(max_size=40)
words = st.lists(st.text(alphabet="abcdefgh \u5b57", min_size=1, max_size=12), min_size=1, max_size=5).map("\n\n".join)
_BARE = "h1 h2 h3 h4 h5 h6 p pre ul li table thead tbody tr strong em blockquote hr br"
IN_MARKDOWN = {tag: OURS[tag] for tag in ("ol", "th", "td")} | {
    "a": {"href": OURS["a"]["href"], "title": ".*"},
    "img": {"src": "https?://.*", "alt": ".*", "title": ".*"},
    "code": {"class": "language-.*"},
    **{tag: {} for tag in _BARE.split()},
}
"""What CommonMark itself may make of a text."""


def slot(value: Any, **more: Any) -> dict[str, Any]:
    return {"slot": "s", "title": "S", "node": "n", "value": value, **more}


def shown(value: Any, **more: Any) -> str:
    return html.document(page(slots=[slot(value, **more)]))


def read_markdown(text: str) -> Reader:
    reader = Reader(IN_MARKDOWN)
    reader.read(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    return reader


@given(pages)
def test_a_hostile_page_makes_no_tag_attribute_or_address_of_its_own(one: Page) -> None:
    Reader().read(html.document(one))


@given(pages)
def test_nor_does_its_markdown_for_a_renderer_that_lets_html_through(one: Page) -> None:
    reader = read_markdown(markdown.document(one))
    titles = iter(squeezed(title) for title in reader.titles)
    for wanted in one.slots:
        title = squeezed(wanted["title"] or wanted["slot"])
        assert title in titles, "a slot's title is hidden by what is before it"


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_each_snippet_alone_is_harmless_in_each_place(snippet: str) -> None:
    quiz = {"title": snippet, "questions": [{"question": snippet, "options": [snippet], "answer": snippet}]}
    cut = {"truncated": True, "bytes": 1, "preview": snippet, "step": snippet}
    filled: list[Any] = [snippet, [snippet, None], [{snippet: snippet}], {"a": [snippet]}, quiz, cut]
    held = [slot(value, title=snippet) for value in filled]
    gap = slot(None, gap={"code": snippet, "message": snippet})
    one = page(snippet, [*held, gap], [{"title": snippet, "text": snippet}])
    Reader().read(html.document(one))
    wanted = [squeezed(title["title"]) for title in one.slots] + ["Sources"]
    read = [squeezed(title) for title in read_markdown(markdown.document(one)).titles]
    assert [title for title in read if title in wanted][-len(wanted) :] == wanted


@given(plain, st.lists(st.tuples(plain, plain, scalars.filter(lambda one: not isinstance(one, str))), max_size=3))
def test_titles_keys_and_scalars_are_read_as_they_were_written(title: str, rows: list[tuple[str, str, Any]]) -> None:
    made = page(title, [slot([{key: value, "x": cell}], title=key) for key, value, cell in rows], [{"title": title}])
    for text in (Reader().read(html.document(made)), "".join(read_markdown(markdown.document(made)).parts)):
        read = squeezed(text)
        assert squeezed(title) in read
        for key, value, cell in rows:
            for one in (key, value if key != "x" else "", shapes.plain(cell)):
                assert squeezed(one) in read


@given(nested.filter(lambda value: isinstance(value, dict) and isinstance(shapes.of_value(value), shapes.Json)))
def test_json_is_read_as_it_was_written(value: Any) -> None:
    printed = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    assert printed.replace("\r", "") in Reader().read(shown(value)).replace("\r", "")
    assert squeezed(printed) in squeezed("".join(read_markdown(markdown.document(page(slots=[slot(value)]))).parts))


@given(words)
def test_words_are_read_as_they_were_written(text: str) -> None:
    assert squeezed(text) in squeezed(Reader().read(shown(text)))
    assert squeezed(text) in squeezed(markdown.document(page(slots=[slot(text)])))


@given(values)
def test_each_value_has_a_shape(value: Any) -> None:
    assert isinstance(shapes.of_value(value), shapes.Shape)


def test_markdown_is_rendered_and_its_headings_are_below_the_pages() -> None:
    text = "# Big\n\nSome *words*, `code` and [a link](https://example.org/?a=1&b=2)."
    text += "\n\n- one\n- two\n\n|a|b|\n|-|-:|\n|1|2|"
    made = shown(text)
    for part in (
        "<h3>Big</h3>",
        "<em>words</em>",
        "<code>code</code>",
        '<a href="https://example.org/?a=1&amp;b=2" rel="noopener noreferrer nofollow">a link</a>',
        "<li>one</li>",
        '<td style="text-align:right">2</td>',
    ):
        assert part in made
    assert text in markdown.document(page(slots=[slot(text)]))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("![a mill](https://example.org/m.png)", ">a mill</a>"),
        ("[![a mill](https://example.org/m.png)](https://example.org/)", ">a mill</a>"),
        ("![](https://example.org/m.png)", ">https://example.org/m.png</a>"),
        ("[a](javascript:x)", "[a](javascript:x)"),
        ("a<br>b", "a&lt;br&gt;b"),
        ('```python" x\nprint()\n```', "<pre><code>print()\n</code></pre>"),
    ],
)
def test_what_cannot_stay_is_shown_for_what_it_is(text: str, part: str) -> None:
    assert part in shown(text)
    assert "<img" not in shown(text)


def test_raw_html_in_a_text_is_escaped_in_markdown_and_the_rest_stays() -> None:
    made = markdown.document(page(slots=[slot("*a*<br>b"), slot("<!-- open"), slot("```\nopen"), slot("end")]))
    assert "*a*&lt;br>b" in made
    assert "&lt;!-- open" in made
    assert "````\n```\nopen\n````" in made
    assert read_markdown(made).titles == ["S", "S", "S", "S"]


def test_a_quiz_hides_its_answers() -> None:
    quiz = {
        "title": "Rivers",
        "questions": [{"question": "Longest?", "options": ["Nile", "Po"], "answer": 0, "explanation": "It is."}],
    }
    made = shown(quiz)
    assert "<li>A) Nile</li><li>B) Po</li>" in made
    assert "<details><summary>Answer</summary><p>A) Nile</p><p>It is.</p></details>" in made
    text = markdown.document(page(slots=[slot(quiz)]))
    assert "1. Longest?\n\n   - A) Nile\n   - B) Po\n\n   **Answer**: A) Nile It is." in text


def test_flat_objects_are_a_table_and_failed_items_are_marked() -> None:
    made = shown([{"name": "Li", "score": 91}, {"name": "Bo", "late": True}])
    assert "<th>name</th><th>score</th><th>late</th>" in made
    assert "<tr><td>Bo</td><td></td><td>true</td></tr>" in made
    assert "| Li | 91 |  |" in markdown.document(page(slots=[slot([{"name": "Li", "score": 91}, {"late": True}])]))
    assert "<tr><td>65.9</td><td>-3</td></tr>" in shown({"average": 65.9, "change": -3})
    assert "| 65.9 | -3 |" in markdown.document(page(slots=[slot({"average": 65.9, "change": -3})]))
    items = shown(["*good*", None, 3])
    assert "<em>good</em>" in items
    assert '<span class="gap">Missing</span>' in items
    assert "2. **Missing**" in markdown.document(page(slots=[slot(["a", None])]))
    wide = {str(n): n for n in range(shapes.MAX_COLUMNS + 1)}
    assert isinstance(shapes.of_value([wide]), shapes.Json)
    assert isinstance(shapes.of_value(wide), shapes.Json)


def test_a_gap_and_a_shortened_value_are_marked() -> None:
    gap = shown(None, gap={"code": "provider", "message": "it failed"})
    assert '<p class="gap">Missing: it failed (provider)</p>' in gap
    cut = {"truncated": True, "bytes": 123456, "preview": "[1,2", "step": "node:marks[3]/a b"}
    made = shown(cut)
    assert "[1,2 …" in made
    path = "/api/pages/page-1/versions/3/outputs/node%3Amarks%5B3%5D%2Fa%20b"
    assert f'<a href="{path}">The whole value, 123456 bytes</a>' in made
    assert f"](<{path}>)" in markdown.document(page(slots=[slot(cut)]))


def test_the_documents_words_follow_its_titles() -> None:
    assert '<html lang="en">' in html.document(page("Class 3B"))
    made = html.document(page("三年级二班", [slot(None, gap={"code": "x", "message": "y"})], [{"title": "t", "text": "u"}]))
    assert '<html lang="zh">' in made
    assert "来源" in made
    assert "缺失" in made


def test_texts_past_the_limit_are_shown_as_they_are_written() -> None:
    long = "*a* " * (html.MAX_MARKDOWN // 8)
    made = page(slots=[slot(long), slot(long), slot("*late*")])
    assert "<pre><code>*late*</code></pre>" in html.document(made)
    assert "```\n*late*\n```" in markdown.document(made)


def test_deep_json_is_shown_on_one_line() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert isinstance(shapes.of_value({"a": deep}), shapes.Json)
    for _ in range(3):
        assert len(shapes.printed(deep)) < 1_000
        deep = deep[0][0][0]
