"""How many questions a message asks for, in English and Chinese. Pure."""

import re
import unicodedata

from headrace_planner.words import words

MAX_QUESTIONS = 20
"""More are not written at once; the quiz's blueprint says the same."""

_ENGLISH = words("""
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty
""")
_DIGITS = "零一二三四五六七八九"
_ONE = f"[{_DIGITS[1:]}]"
_ASKED = re.compile(
    rf"(?<![\w.])(?P<english>\d{{1,4}}|{'|'.join(sorted(_ENGLISH, key=len, reverse=True))})[ -]"
    r"(?:(?:short|easy|hard|simple|difficult|multiple|choice|quiz|test|exam|practice|more|new)[ -]){0,4}questions?\b"
    rf"|(?<![\d第百千零一二三四五六七八九十])(?P<chinese>\d{{1,4}}|{_ONE}?十{_ONE}?|{_ONE}|两)\s?"
    r"(?:道[^。,;?!]{0,30}?题|(?:道|个|条)?(?:单选|选择|多选|测试|小|练习|考)?(?:题|问题))"
)


def questions(message: str) -> int | None:
    """The number that stands before "questions", 1 to 20; None when there is none."""
    match = _ASKED.search(unicodedata.normalize("NFKC", message).casefold())
    if match is None:
        return None
    return max(1, min(_number(match["english"] or match["chinese"]), MAX_QUESTIONS))


def _number(word: str) -> int:
    if word.isdecimal():
        return int(word)
    if word in _ENGLISH:
        return _ENGLISH.index(word) + 1
    tens, ten, units = word.replace("两", "二").rpartition("十")
    return (_DIGITS.index(tens or "一") * 10 if ten else 0) + (_DIGITS.index(units) if units else 0)
