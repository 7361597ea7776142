"""Which blueprint fits, what becomes of a draft, and when to stop asking."""

from typing import Any

import pytest
from headrace_blueprint import references, tools, validation
from headrace_blueprint.faults import Fault
from headrace_planner import answering, library, policy
from headrace_planner.model import RUNNABLE, Intent, Request
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
        (Intent.QUIZ, {"recalled": True}, "quiz"),
        (Intent.QUIZ, {}, "quiz"),
        (Intent.QUIZ, {"workspace": "w"}, "quiz_passages"),
        (Intent.QUIZ, {"sources": ("Book",)}, "quiz_passages"),
        (Intent.BUILD, {}, "build"),
        (Intent.BUILD, {"workspace": "w"}, "build_passages"),
        (Intent.PATCH, {}, "build"),
    ],
)
def test_the_request_chooses_the_librarys_blueprint(intent: Intent, fields: dict[str, Any], name: str) -> None:
    assert policy.template_name(request(intent, **fields)) == name


@pytest.mark.parametrize("name", sorted(LIBRARY.blueprints))
def test_each_built_in_blueprint_reads_only_declared_inputs_and_is_valid_when_fitted(name: str) -> None:
    fitted = policy.fitted(LIBRARY.blueprints[name], request(model="big", sources=("A ${inputs.x}", "B")))
    assert validation.validate(fitted, tools=tools.SCHEMAS, kinds=RUNNABLE) == []
    simple = [one.get("node", one) for one in fitted["nodes"]]
    assert {one["model"] for one in simple if one["kind"] == "compose"} == {"big"}
    assert set(fitted["inputs"]["properties"]) - {"questions"} == {"message", "history", "workspace"}


def test_fitting_leaves_the_library_as_it_was() -> None:
    policy.fitted(LIBRARY.blueprints["build"], request(model="big", sources=("Book",)))
    assert all("model" not in one for one in LIBRARY.blueprints["build"]["nodes"])


@given(st.lists(st.text(min_size=1, max_size=80) | st.just("${nodes.answer.output}") | st.just("$"), max_size=4))
def test_a_source_never_becomes_a_reference(sources: list[str]) -> None:
    asked = request(Intent.QA, sources=tuple(sources))
    fitted = policy.fitted(answering.blueprint(asked), asked)
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
