import difflib
from collections import Counter
from pathlib import Path

import pytest
from headrace_router import examples
from headrace_router.lexical import is_cjk, normalise
from headrace_router.model import MAX_MESSAGE_CHARS, Intent

HELD_OUT = Path(__file__).parents[2] / "bench" / "router_heldout.yaml"
NEAR = 0.85
"""Texts whose matching parts make up this share are the same message in other words."""


def held_out() -> tuple[examples.Example, ...]:
    return examples.parse(HELD_OUT.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("load", "least"), [(examples.load, 25), (held_out, 12)])
def test_every_intent_has_enough_messages_in_both_languages(load: object, least: int) -> None:
    counted = Counter((one.intent, one.language) for one in load())  # type: ignore[operator]
    assert set(counted) == {(intent, language) for intent in Intent for language in ("en", "zh")}
    assert min(counted.values()) >= least


def test_no_message_is_there_twice() -> None:
    counted = Counter(normalise(one.text) for one in (*examples.load(), *held_out()))
    assert [text for text, count in counted.items() if count > 1] == []


def test_no_held_out_message_is_nearly_an_example() -> None:
    known = [normalise(one.text) for one in examples.load()]
    near = []
    for one in held_out():
        matcher = difflib.SequenceMatcher(a="", b=normalise(one.text), autojunk=False)
        for text in known:
            matcher.set_seq1(text)
            if matcher.real_quick_ratio() >= NEAR and matcher.quick_ratio() >= NEAR and matcher.ratio() >= NEAR:
                near.append((one.text, text))
    assert near == []


def test_messages_are_written_in_the_language_that_they_stand_under() -> None:
    for one in (*examples.load(), *held_out()):
        assert is_cjk(one.text) == (one.language == "zh"), one.text
        assert 0 < len(one.text) <= min(200, MAX_MESSAGE_CHARS)


def test_an_unknown_intent_is_refused() -> None:
    with pytest.raises(ValueError, match="dance"):
        examples.parse("dance: {en: [hop]}")
