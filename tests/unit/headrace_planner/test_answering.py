"""What the model that answers a chat or a question is shown."""

from itertools import product
from typing import Any

import pytest
from headrace_blueprint import references, tools, validation
from headrace_planner import answering, policy
from headrace_planner.model import RUNNABLE, Intent, Request, Turn

ASKED = [
    Request("acme", intent, "Why?", history=history, recalled=recalled)
    for intent, history, recalled in product((Intent.CHAT, Intent.QA), ((), (Turn("user", "hi"),)), (False, True))
]
NAMES = ["time", "calculator"]


def answered(request: Request, names: list[str]) -> Any:
    made = policy.fitted(answering.blueprint(request, names), request, names)
    assert validation.validate(made, tools=tools.SCHEMAS, kinds=RUNNABLE) == []
    (node,) = (node for node in made["nodes"] if node["kind"] == "compose")
    return node


@pytest.mark.parametrize("names", [[], NAMES], ids=str)
@pytest.mark.parametrize("request_", ASKED, ids=lambda one: f"{one.intent}-{len(one.history)}-{one.recalled}")
def test_the_prompt_has_what_there_is_and_nothing_else(request_: Request, names: list[str]) -> None:
    node = answered(request_, names)
    read = {str(one).removeprefix("${").removesuffix("}") for one in references.in_text(node["prompt"])}
    expected = {"inputs.message"}
    expected |= {"inputs.history"} if request_.history else set()
    expected |= {"inputs.memories"} if request_.recalled else set()
    expected |= {"nodes.passages.output.text"} if request_.intent is Intent.QA else set()
    assert read == expected
    assert node.get("tools", []) == names


@pytest.mark.parametrize(
    ("recalled", "names", "said"),
    [
        (False, [], "from the numbered passages and from nothing else."),
        (True, [], "from the numbered passages, from what is remembered and from nothing else."),
        (False, NAMES, "from the numbered passages, from what your tools return and from nothing else."),
        (
            True,
            NAMES,
            "from the numbered passages, from what is remembered, from what your tools return and from nothing else.",
        ),
    ],
)
def test_a_question_is_answered_from_what_there_is(recalled: bool, names: list[str], said: str) -> None:
    prompt = answered(Request("acme", Intent.QA, "Why?", recalled=recalled), names)["prompt"]
    assert said in prompt
    assert ("Call a tool" in prompt) == bool(names)


def test_a_first_message_is_all_that_a_chat_shows() -> None:
    assert answered(Request("acme", Intent.CHAT, "Why?"), [])["prompt"] == "${inputs.message}"
