"""The few words that a page's document adds, in the page's language as far as its letters tell it. Pure."""

import re
from dataclasses import dataclass

from headrace_edge.pages.model import Page

_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Wording:
    """The words in one language."""

    lang: str
    """BCP 47."""
    answer: str
    missing: str
    sources: str
    whole: str
    """Of a link to a value that is shown in part; takes its bytes."""
    version: str


ENGLISH = Wording("en", "Answer", "Missing", "Sources", "The whole value, {} bytes", "Version")
CHINESE = Wording("zh", "答案", "缺失", "来源", "完整内容，{} 字节", "版本")


def of_page(page: Page) -> Wording:
    """Chinese when a title has Han characters, else English."""
    titles = (page.title, *(str(slot.get("title")) for slot in page.slots))
    return CHINESE if any(map(_HAN.search, titles)) else ENGLISH


def link_to(page: Page, step: str) -> tuple[str, ...]:
    """The path of a whole value of the version, in parts that are to be quoted: it stays as long as the page does."""
    return ("api", "pages", page.page_id, "versions", str(page.version), "outputs", step)
