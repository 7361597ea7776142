"""How a built-in quiz fits its model: one answer where that has room, else parts that are written side by side. Pure."""

from collections.abc import Iterator
from typing import Any

from headrace_planner import counts
from headrace_planner.counts import MAX_QUESTIONS
from headrace_planner.drafts import Blueprint
from headrace_planner.words import is_cjk

QUIZ_TOKENS = 256
QUESTION_TOKENS = 192
"""Tokens that a question with its options and explanation takes at most, in any language."""
WHOLE_TOKENS = QUIZ_TOKENS + MAX_QUESTIONS * QUESTION_TOKENS
"""An answer with room for so many tokens has room for any quiz."""
PARTS = "_parts"
"""Ends the name of a built-in quiz that is written in parts."""

SYNTAX_TOKENS = 80
"""What the JSON of one question takes without its texts, as a small model indents it."""
CHARS_PER_TOKEN = 2.5
CJK_CHARS_PER_TOKEN = 0.35
"""Small models are weak in other languages than English, and spell out each character of them."""
LEAST_CHARS = 8

Schema = dict[str, Any]


def at_once(answer_tokens: int) -> int:
    """How many questions a model writes in one answer of so many tokens, 1 to 20."""
    return max(1, min((answer_tokens - QUIZ_TOKENS) // QUESTION_TOKENS, MAX_QUESTIONS))


def name(base: str, message: str, *, answer_tokens: int) -> str:
    """The built-in quiz for a message: one call if its answer has room for all the questions that may be asked for."""
    most = counts.questions(message) or MAX_QUESTIONS
    return base if at_once(answer_tokens) >= most else base + PARTS


def fit(made: Blueprint, message: str, *, answer_tokens: int) -> None:
    """Write into a quiz how many questions its message names, and what its model has room for."""
    wanted = counts.questions(message)
    if wanted is not None:
        made["inputs"]["properties"]["questions"] |= {"maximum": wanted, "default": wanted}
    batch = next((node for node in made["nodes"] if node["id"] == "batch"), None)
    if batch is not None:
        most = min(at_once(answer_tokens), wanted or MAX_QUESTIONS)
        batch["expr"] = str(most)
        _bound(made, least=1, most=most, answer_tokens=answer_tokens)
        if answer_tokens < QUIZ_TOKENS + QUESTION_TOKENS:
            _shorten(made, message, answer_tokens)
    elif wanted is not None:
        # A compose node's schema cannot read inputs; where the number is known it is written into both.
        _bound(made, least=wanted, most=wanted, answer_tokens=answer_tokens)


def _bound(made: Blueprint, *, least: int, most: int, answer_tokens: int) -> None:
    for node in _writers(made):
        node["schema"]["properties"]["questions"] |= {"minItems": least, "maxItems": most}
        node["max_tokens"] = min(node["max_tokens"], QUIZ_TOKENS + most * QUESTION_TOKENS, answer_tokens)


def _shorten(made: Blueprint, message: str, answer_tokens: int) -> None:
    """Bound the texts so that one question fits an answer that has no room for a long one: a schema is held as it is
    written, a text that is cut off is no JSON. The request is then the quiz's title, for which no tokens are spent.
    """
    per_token = CJK_CHARS_PER_TOKEN if is_cjk(message) else CHARS_PER_TOKEN
    chars = (answer_tokens - SYNTAX_TOKENS) * per_token
    for node in _writers(made):
        del node["schema"]["properties"]["title"]
        node["schema"]["required"].remove("title")
        texts = list(_texts(node["schema"], 1))
        share = chars / sum(one["maxLength"] * times for one, times in texts)
        for one, _ in texts:
            one["maxLength"] = max(LEAST_CHARS, min(one["maxLength"], int(one["maxLength"] * share)))


def _texts(schema: Schema, times: int) -> Iterator[tuple[Schema, int]]:
    """The texts of an answer with one question, and how often each is there."""
    match schema:
        case {"type": "string"}:
            yield schema, times
        case {"type": "array", "items": items, "minItems": least}:
            yield from _texts(items, times * least)
        case {"properties": properties}:
            for one in properties.values():
                yield from _texts(one, times)
        case _:
            return


def _writers(made: Blueprint) -> Iterator[Blueprint]:
    for node in made["nodes"]:
        one = node["node"] if node["kind"] == "map" else node
        if one["kind"] == "compose":
            yield one
