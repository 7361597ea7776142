"""A page as an HTML document of its own. Pure.

Markdown is rendered without raw HTML, its images as links, its links only to http, https and mailto. Everything else is
escaped. No tag, attribute or URL is anybody's but this module's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from headrace_edge.pages import shapes, wording
from headrace_edge.pages.model import Page
from headrace_edge.pages.shapes import Cut, Gap, Items, Json, Question, Quiz, Scalar, Shape, Table, Text
from headrace_edge.pages.wording import Wording

MAX_MARKDOWN = 200_000
"""Characters of a page's texts that are rendered as Markdown; further ones are shown as they are written."""
MAX_EXCERPT = 300
"""Characters of a source that are shown."""
SCHEMES = ("http://", "https://", "mailto:")
"""All that a link may lead to."""
_DEEPER = 2
"""Levels by which a text's headings go down: the page's own are above."""
_REL = "noopener noreferrer nofollow"

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1c1e21; --paper: #fff; --line: #d5d8dc; --soft: #f3f4f6; --link: #0b57d0; --warn: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e7e9; --paper: #16181b; --line: #3a3e44; --soft: #22252a; --link: #8ab4f8; --warn: #f2b8b5; }
}
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 1rem/1.6 system-ui, sans-serif; }
main { max-width: 48rem; margin: 0 auto; padding: 2rem 1rem; overflow-wrap: anywhere; }
h1 { line-height: 1.25; }
section { margin: 2rem 0; }
a { color: var(--link); }
table { display: block; overflow-x: auto; border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--soft); }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; white-space: pre-wrap; }
.gap { color: var(--warn); border-left: 3px solid; padding-left: .8rem; }
footer { border-top: 1px solid var(--line); font-size: .85rem; }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #fff; --link: #000; }
  main { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; }
  tr, pre, li { break-inside: avoid; }
}
""".strip()


def document(page: Page) -> str:
    """The whole document."""
    words = wording.of_page(page)
    writer = _Writer(page, words)
    sections = "\n".join(writer.section(slot) for slot in page.slots)
    title = escape(page.title)
    return f"""<!doctype html>
<html lang="{words.lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1 dir="auto">{title}</h1>
{sections}
{writer.sources()}
<footer><p>{words.version} {page.version}, {page.created_at:%Y-%m-%d}</p></footer>
</main>
</body>
</html>
"""


class _Markdown(MarkdownIt):
    """CommonMark with tables and struck text, without anything that could leave the document."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False})
        self.enable(["table", "strikethrough"])
        self.add_render_rule("image", _image)

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        """Whether a link may stay one; else it is shown as it is written."""
        return url.strip().lower().startswith(SCHEMES)

    def safe(self, text: str) -> str:
        """HTML of a text."""
        tokens = self.parse(text)
        for token in tokens:
            _tame(token)
        return str(self.renderer.render(tokens, self.options, {}))


def _tame(token: Token) -> None:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(6, int(token.tag[1:]) + _DEEPER)}"
    token.info = ""  # it would become a class
    for child in token.children or ():
        if child.type == "link_open":
            child.attrs = {"href": child.attrs["href"], "rel": _REL}


def _image(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """A link to the image; inside a link its description."""
    token = tokens[index]
    source = str(token.attrs["src"])
    shown = escape(renderer.renderInlineAsText(token.children or [], options, env) or source)
    inside = sum((one.type == "link_open") - (one.type == "link_close") for one in tokens[:index])
    return shown if inside else f'<a href="{escape(source)}" rel="{_REL}">{shown}</a>'


@dataclass(slots=True)
class _Writer:
    """Writes the parts of one page."""

    page: Page
    words: Wording
    _left: int = MAX_MARKDOWN

    def section(self, slot: dict[str, Any]) -> str:
        """A slot under its title."""
        title = escape(shapes.plain(slot.get("title") or slot.get("slot") or ""))
        return f'<section>\n<h2 dir="auto">{title}</h2>\n{self._shape(shapes.of_slot(slot))}\n</section>'

    def sources(self) -> str:
        """What the searches found, "" for nothing."""
        if not self.page.sources:
            return ""
        entries = "\n".join(_source(one) for one in self.page.sources)
        return f"<section>\n<h2>{self.words.sources}</h2>\n<ol>\n{entries}\n</ol>\n</section>"

    def _shape(self, shape: Shape) -> str:
        match shape:
            case Gap():
                return f'<p class="gap">{self.words.missing}: {escape(shape.message)} ({escape(shape.code)})</p>'
            case Cut():
                return self._cut(shape)
            case Text():
                return self._text(shape.markdown)
            case Scalar():
                return f"<p>{escape(shape.text)}</p>"
            case Items():
                return f"<ol>\n{self._items(shape.items)}\n</ol>"
            case Table():
                return _table(shape)
            case Quiz():
                title = f"<p><strong>{escape(shape.title)}</strong></p>\n" if shape.title else ""
                return f"{title}<ol>\n{''.join(map(self._question, shape.questions))}</ol>"
            case Json():
                return _code(shape.text)

    def _text(self, text: str) -> str:
        self._left -= len(text)
        if self._left < 0:
            return _code(text)
        return f'<div dir="auto">{_Markdown().safe(text)}</div>'

    def _items(self, items: Iterable[Text | Scalar | None]) -> str:
        gap = f'<span class="gap">{self.words.missing}</span>'
        return "\n".join(f"<li>{gap if one is None else self._shape(one)}</li>" for one in items)

    def _cut(self, cut: Cut) -> str:
        path = "/" + "/".join(quote(part, safe="") for part in wording.link_to(self.page, cut.step))
        link = f'<p><a href="{escape(path)}">{escape(self.words.whole.format(cut.size))}</a></p>'
        return f"{_code(cut.preview + ' …')}\n{link}"

    def _question(self, one: Question) -> str:
        options = "".join(f"<li>{shapes.letter(at)}) {escape(text)}</li>" for at, text in enumerate(one.options))
        listed = f"<ul>{options}</ul>" if options else ""
        why = f"<p>{escape(one.explanation)}</p>" if one.explanation else ""
        answer = f"<details><summary>{self.words.answer}</summary><p>{escape(one.answer)}</p>{why}</details>"
        return f"<li><p>{escape(one.question)}</p>{listed}{answer}</li>\n"


def _code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _source(source: dict[str, Any]) -> str:
    title = shapes.plain(source.get("title") or source.get("document_id") or "")
    text = shapes.plain(source.get("text") or "")
    excerpt = text if len(text) <= MAX_EXCERPT else f"{text[:MAX_EXCERPT]} …"
    return f"<li><strong>{escape(title)}</strong> {escape(excerpt)}</li>"
