"""Which blueprint fits, what becomes of a draft, and when to stop asking."""

from typing import Any

import pytest
from headrace_blueprint import references, tools, validation
from headrace_blueprint.faults import Fault
from headrace_planner import library, policy
from headrace_planner.model import RUNNABLE, Intent, Request, Turn
from headrace_planner.policy import Step
from hypothesis import given
from hypothesis import strategies as st

LIBRARY = library.load()
FAULT = Fault("/nodes/0", "wrong", "mend it")


def request(intent: Intent = Intent.BUILD, **fields: Any) -> Request:
    return Request("acme", intent, "Make a page about rivers", **fields)


@pytest.mark.parametrize(
    ("intent", "fields", "name"),
    [
        (Intent.CHAT, {}, "chat"),
        (Intent.CHAT, {"history": (Turn("user", "hi"),)}, "chat_followup"),
        (Intent.QA, {}, "qa"),
        (Intent.QA, {"history": (Turn("user", "hi"),)}, "qa_followup"),
        (Intent.CHAT, {"recalled": True}, "chat_recall"),
        (Intent.QA, {"recalled": True, "history": (Turn("user", "hi"),)}, "qa_recall"),
        (Intent.QUIZ, {"recalled": True}, "quiz"),
        (Intent.QUIZ, {}, "quiz"),
        (Intent.QUIZ, {"workspace": "w"}, "quiz_passages"),
        (Intent.QUIZ, {"sources": ("Book",)}, "quiz_passages"),
        (Intent.BUILD, {}, "build"),
        (Intent.BUILD, {"workspace": "w"}, "build_passages"),
        (Intent.PATCH, {}, "build"),
    ],
)
def test_the_request_chooses_the_built_in_blueprint(intent: Intent, fields: dict[str, Any], name: str) -> None:
    assert policy.builtin_name(request(intent, **fields)) == name


@pytest.mark.parametrize("name", sorted(LIBRARY.blueprints))
def test_each_built_in_blueprint_reads_only_declared_inputs_and_is_valid_when_fitted(name: str) -> None:
    fitted = policy.fitted(LIBRARY.blueprints[name], request(model="big", sources=("A ${inputs.x}", "B")))
    assert validation.validate(fitted, tools=tools.SCHEMAS, kinds=RUNNABLE) == []
    simple = [one.get("node", one) for one in fitted["nodes"]]
    assert {one["model"] for one in simple if one["kind"] == "compose"} == {"big"}
    assert set(fitted["inputs"]["properties"]) - {"questions", "memories"} == {"message", "history", "workspace"}
    assert ("memories" in fitted["inputs"]["properties"]) == name.endswith("_recall")


def test_fitting_leaves_the_library_as_it_was() -> None:
    policy.fitted(LIBRARY.blueprints["qa"], request(model="big", sources=("Book",)))
    assert all("model" not in one for one in LIBRARY.blueprints["qa"]["nodes"])


@given(st.lists(st.text(min_size=1, max_size=80) | st.just("${nodes.answer.output}") | st.just("$"), max_size=4))
def test_a_source_never_becomes_a_reference(sources: list[str]) -> None:
    fitted = policy.fitted(LIBRARY.blueprints["qa"], request(Intent.QA, sources=tuple(sources)))
    query = fitted["nodes"][0]["query"]
    assert [str(one) for one in references.in_text(query)] == ["${inputs.message}"]
    resolved = references.resolve(query, {"inputs": {"message": "M"}})
    assert resolved == ("M (" + ", ".join(sources)[: policy.MAX_SOURCE_CHARS] + ")" if sources else "M")


@pytest.mark.parametrize(
    ("faults", "repeated", "repairs", "left_s", "step"),
    [
        ([], False, 0, 10, Step.ACCEPT),
        ([], True, 2, 0, Step.ACCEPT),
        ([FAULT], False, 0, 10, Step.REPAIR),
        ([FAULT], False, 1, 10, Step.REPAIR),
        ([FAULT], False, 2, 10, Step.GIVE_UP),
        ([FAULT], True, 1, 10, Step.GIVE_UP),
        ([FAULT], False, 0, 0.5, Step.GIVE_UP),
    ],
)
def test_the_next_step(faults: list[Fault], repeated: bool, repairs: int, left_s: float, step: Step) -> None:
    decided = policy.next_step(faults=faults, repeated=repeated, repairs=repairs, max_repairs=2, left_s=left_s)
    assert decided is step


def test_faults_are_shown_in_lines_and_not_too_many() -> None:
    text = policy.shown([FAULT] * 20)
    assert text.splitlines()[0] == "- /nodes/0: wrong (mend it)"
    assert text.splitlines()[-1] == "- and 12 more"


@pytest.mark.parametrize("history", [(), (Turn("user", "hi"),)])
@pytest.mark.parametrize("intent", [Intent.CHAT, Intent.QA])
def test_the_answering_model_gets_the_tools_and_no_other_node(intent: Intent, history: tuple[Turn, ...]) -> None:
    asked = request(intent, history=history)
    name = policy.builtin_name(asked, ["time", "calculator"])
    made = policy.fitted(LIBRARY.blueprints[name], asked, ["time", "calculator"])
    assert validation.validate(made, tools=tools.SCHEMAS, kinds=RUNNABLE) == []
    assert {node["id"]: node.get("tools") for node in made["nodes"] if node["kind"] == "compose"} == {
        "answer": ["time", "calculator"]
    }
    assert [node.get("tools") for node in made["nodes"] if node["kind"] != "compose"] == [None] * (len(made["nodes"]) - 1)


@pytest.mark.parametrize("history", [(), (Turn("user", "hi"),)])
def test_who_answers_from_documents_may_say_what_tools_return_only_if_there_are_any(history: tuple[Turn, ...]) -> None:
    asked = request(Intent.QA, history=history)
    without, given = (
        LIBRARY.blueprints[policy.builtin_name(asked, names)]["nodes"][-1]["prompt"] for names in ([], ["time"])
    )
    assert "tools" not in without
    assert "what your tools return" in given
    assert without.partition("Passages:")[2] == given.partition("Passages:")[2]
