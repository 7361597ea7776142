"""A page as a Markdown document. Pure.

Texts stay as they are written unless they hold raw HTML, which is escaped, or would break out of their place, which puts
them into a code block. Everything else is escaped.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from headrace_edge.pages import shapes, wording
from headrace_edge.pages.html import MAX_EXCERPT, MAX_MARKDOWN, SCHEMES
from headrace_edge.pages.model import Page
from headrace_edge.pages.shapes import Cut, Gap, Items, Json, Question, Quiz, Scalar, Shape, Table, Text
from headrace_edge.pages.wording import Wording

_SIGNS = re.compile(r"([\\`*_{}\[\]<>~|&#!$])")
_MARKER = re.compile(r"^([+\-=](?!\d)|\d+(?=[.)](?: |$)))")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_FENCE = re.compile(r"`{3,}")
_PROBE = "\n\n## end\n"


def document(page: Page) -> str:
    """The whole document."""
    words = wording.of_page(page)
    parts = [f"# {_line(page.title)}"]
    left = MAX_MARKDOWN
    for slot in page.slots:
        shape = shapes.of_slot(slot)
        left -= len(shape.markdown) if isinstance(shape, Text) else 0
        shown = _fenced(shape.markdown) if isinstance(shape, Text) and left < 0 else _shape(shape, page, words)
        parts += [f"## {_line(shapes.plain(slot.get('title') or slot.get('slot') or ''))}", shown]
    if page.sources:
        parts += [f"## {words.sources}", "\n".join(map(_source, page.sources))]
    return "\n\n".join(parts) + "\n"


def _shape(shape: Shape, page: Page, words: Wording) -> str:
    match shape:
        case Gap():
            return f"**{words.missing}**: {_line(shape.message)} ({_line(shape.code)})"
        case Cut():
            return _cut(shape, page, words)
        case Text():
            return _text(shape.markdown)
        case Scalar():
            return _line(shape.text)
        case Items():
            return "\n\n".join(_item(number, one, words) for number, one in enumerate(shape.items, 1))
        case Table():
            return _table(shape)
        case Quiz():
            title = [f"**{_line(shape.title)}**"] if shape.title.strip() else []
            return "\n\n".join([*title, *(_question(at, one, words) for at, one in enumerate(shape.questions, 1))])
        case Json():
            return _fenced(shape.text, "json")


def _line(text: str) -> str:
    """A text on one line, with nothing in it that means anything to Markdown."""
    flat = _SIGNS.sub(r"\\\1", " ".join(text.split()))
    return _MARKER.sub(lambda found: f"{found[1]}\\" if found[1].isdigit() else f"\\{found[1]}", flat)


def _text(text: str) -> str:
    """A text as it is written, as long as it stays a text in its place."""
    if any(token.type.startswith("html_") for token in _walk(_parsed(text))):
        text = _TAG.sub("&lt;", text)
    return text.strip("\n") if _keeps_to_itself(text) else _fenced(text)


def _keeps_to_itself(text: str) -> bool:
    """Whether what follows the text is still what it was, and no HTML and no other link than ours may be is in it."""
    tokens = _parsed(text + _PROBE)
    if [token.type for token in tokens[-3:]] != ["heading_open", "inline", "heading_close"] or tokens[-2].content != "end":
        return False
    return all(map(_harmless, _walk(tokens)))


def _harmless(token: Token) -> bool:
    url = token.attrs.get("href") or token.attrs.get("src")
    return not token.type.startswith("html_") and (url is None or str(url).lower().startswith(SCHEMES))


def _parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).parse(text)


def _walk(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _fenced(text: str, kind: str = "") -> str:
    """A code block that nothing in the text ends."""
    fence = "`" * max(3, 1 + max((len(run) for run in _FENCE.findall(text)), default=0))
    return f"{fence}{kind}\n{text}\n{fence}"


def _item(number: int, item: Text | Scalar | None, words: Wording) -> str:
    mark = f"{number}. "
    match item:
        case None:
            return f"{mark}**{words.missing}**"
        case Scalar():
            return f"{mark}{_line(item.text)}"
        case Text():
            return mark + _text(item.markdown).replace("\n", "\n" + " " * len(mark))


def _cut(cut: Cut, page: Page, words: Wording) -> str:
    path = "/" + "/".join(quote(part, safe="") for part in wording.link_to(page, cut.step))
    return f"{_fenced(cut.preview + ' …')}\n\n[{words.whole.format(cut.size)}](<{path}>)"


def _table(table: Table) -> str:
    lines = [_row(table.columns), "|" + " --- |" * len(table.columns), *map(_row, table.rows)]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(_line, cells)) + " |"


def _question(number: int, one: Question, words: Wording) -> str:
    mark = f"{number}. "
    inset = " " * len(mark)
    lines = [f"{mark}{_line(one.question)}", ""]
    lines += [f"{inset}- {shapes.letter(at)}) {_line(text)}" for at, text in enumerate(one.options)]
    why = f" {_line(one.explanation)}" if one.explanation else ""
    return "\n".join([*lines, "", f"{inset}**{words.answer}**: {_line(one.answer)}{why}"])


def _source(source: dict[str, Any]) -> str:
    title = shapes.plain(source.get("title") or source.get("document_id") or "")
    text = shapes.plain(source.get("text") or "")
    excerpt = text if len(text) <= MAX_EXCERPT else f"{text[:MAX_EXCERPT]} …"
    return f"- **{_line(title) or '—'}** {_line(excerpt)}"
