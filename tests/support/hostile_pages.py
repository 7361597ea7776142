"""Pages whose every text is somebody else's, and a reader that knows which tags and attributes are ours."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from headrace_edge.model import Usage
from headrace_edge.pages.model import Page
from hypothesis import strategies as st

SNIPPETS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</style></title></script><svg/onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "[a](javascript:alert(1))",
    "[a](JaVa\tScript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](//evil.example)",
    "[a](/api/tasks)",
    "[a](https://example.org/?q=1&r=2 \"a' onclick=x\")",
    "![a](https://example.org/a.png)",
    "[![a](https://example.org/a.png)](https://example.org/)",
    "![a](javascript:alert(1))",
    "<javascript:alert(1)>",
    "<https://example.org/<b>>",
    "<a@example.org>",
    "[ref]\n\n[ref]: javascript:alert(1)",
    "```html\" onclick=x\n<b>\n",
    "~~~\nnever closed",
    "<!-- never closed",
    "<pre>",
    "<![CDATA[",
    "<?php",
    "|a|b|\n|:-|-:|\n|<b>|`x`|",
    "# a heading",
    "a\n===",
    "> quoted\n\n1. one\n2. two",
    "- - - a",
    "&lt;b&gt; &#60;i&#62; &amp;amp;",
    "\\<b\\>",
    "a\x00b\x1b\r\nc\u2028d\u202ee",
    "{{7*7}} ${x} $a$",
)  # fmt: skip
hostile = st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=12), max_size=3).map("".join)
scalars = hostile | st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False)
flat = st.dictionaries(hostile, scalars, min_size=1, max_size=3)
questions = st.fixed_dictionaries(
    {"question": hostile, "options": st.lists(hostile, max_size=3), "answer": st.integers(-1, 4) | hostile},
    optional={"explanation": hostile},
)
nested = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3))
values = (
    hostile
    | nested
    | st.lists(flat, min_size=1, max_size=3)
    | st.lists(scalars, min_size=1, max_size=3)
    | st.fixed_dictionaries({"title": hostile, "questions": st.lists(questions, min_size=1, max_size=2)})
    | st.fixed_dictionaries({"truncated": st.just(True), "bytes": st.integers(0), "preview": hostile, "step": hostile})
)
slots = st.fixed_dictionaries(
    {"slot": hostile, "title": hostile, "node": hostile, "value": values},
    optional={"gap": st.fixed_dictionaries({"code": hostile, "message": hostile})},
)
sources = st.fixed_dictionaries({"document_id": hostile, "title": hostile, "text": hostile})


def page(
    title: str = "A page",
    slots: Sequence[Mapping[str, Any]] = (),
    sources: Sequence[Mapping[str, Any]] = (),
    run: str = "run-1",
) -> Page:
    return Page(
        page_id="page-1",
        version=3,
        current=True,
        parent_version=2,
        instruction=None,
        title=title,
        run_id=run,
        session_id="session-1",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        usage=Usage(),
        blueprint={},
        inputs={},
        slots=[dict(one) for one in slots],
        sources=[dict(one) for one in sources],
    )


pages = st.builds(
    page, title=hostile, slots=st.lists(slots, max_size=4), sources=st.lists(sources, max_size=2), run=hostile
)

_LINK = r"https?://[^\s\"<>]*|mailto:[^\s\"<>]*|/api/pages/[A-Za-z0-9%._~-]*/versions/[0-9]+/outputs/[A-Za-z0-9%._~-]*"
_BARE = """
head title style body main section h2 h3 h4 h5 h6 p pre code ul ol li table thead tbody tr th td details summary strong em s
blockquote hr br footer
"""
OURS: Mapping[str, Mapping[str, str]] = {
    **{tag: {} for tag in _BARE.split()},
    "html": {"lang": "en|zh"},
    "meta": {"charset": "utf-8", "name": "viewport", "content": "width=device-width, initial-scale=1"},
    "h1": {"dir": "auto"},
    "h2": {"dir": "auto"},
    "div": {"dir": "auto"},
    "p": {"class": "gap"},
    "span": {"class": "gap"},
    "ol": {"start": r"\d{1,9}"},
    "th": {"style": "text-align:(left|right|center)"},
    "td": {"style": "text-align:(left|right|center)"},
    "a": {"href": _LINK, "rel": "noopener noreferrer nofollow"},
}
"""Every tag of a page's document, with its attributes and what their values may be."""
VOID = frozenset({"meta", "hr", "br", "img"})


class Reader(HTMLParser):
    """Asserts that each tag and attribute is ours and that tags nest; collects the text."""

    def __init__(self, ours: Mapping[str, Mapping[str, str]] = OURS) -> None:
        super().__init__()
        self.ours = ours
        self.open: list[str] = []
        self.parts: list[str] = []
        self.titles: list[str] = []
        """Of the second level."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.ours, f"<{tag}>"
        for name, value in attrs:
            pattern = self.ours[tag].get(name)
            assert pattern is not None, f"<{tag} {name}>"
            assert re.fullmatch(pattern, value or ""), f"<{tag} {name}={value!r}>"
        assert not (tag == "a" and "a" in self.open)
        if tag == "h2":
            self.titles.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.parts.append(data)
        if "h2" in self.open:
            self.titles[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"<![{data}]>")

    def read(self, text: str) -> str:
        """The document's whole text."""
        self.feed(text)
        self.close()
        assert not self.open
        return "".join(self.parts)


def squeezed(text: str) -> str:
    """A text but for its spaces."""
    return "".join(text.replace("\x00", "\ufffd").split())
