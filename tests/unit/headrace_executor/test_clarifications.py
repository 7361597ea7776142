"""What is asked back, in AG-UI's shapes, and what the answers to it mean."""

from collections.abc import Mapping
from typing import Any

import pytest
from ag_ui.core import Interrupt as AgUiInterrupt
from headrace_executor.engine import clarifications
from headrace_executor.engine.clarifications import Answers
from headrace_executor.engine.entities import Mention, Record
from headrace_executor.errors import RunFailed
from headrace_executor.ports import Entity, Interrupted

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"


def mention(*records: Record, text: str = "3B") -> Mention:
    return Mention(text, 0, len(text), records, exact=True)


OLD, NEW = Record("class", "c1", ("3B",), {"year": 2024}), Record("class", "c2", ("3B",), {"year": 2025})


def asked(*mentions: Mention) -> Interrupted:
    return Interrupted({"message": "report for 3B"}, clarifications.interrupts(RUN, "build", mentions))


def entry(number: int = 0, payload: Any = "c2", status: str = "resolved") -> Mapping[str, Any]:
    return {"interrupt_id": f"{RUN}:{number}", "status": status, "payload": payload}


def test_an_interrupt_names_the_candidates_and_what_tells_them_apart() -> None:
    (one,) = clarifications.interrupts(RUN, "build", [mention(OLD, NEW), mention(Record("class", "c9", ("4C",)))])
    assert one == {
        "id": f"{RUN}:0",
        "reason": "clarification",
        "message": "Which class is meant by “3B”: 3B (year 2024) or 3B (year 2025)?",
        "responseSchema": {"enum": ["c1", "c2"]},
        "metadata": {
            "kind": "class",
            "text": "3B",
            "candidates": [
                {"year": 2024, "id": "c1", "name": "3B", "kind": "class"},
                {"year": 2025, "id": "c2", "name": "3B", "kind": "class"},
            ],
            "intent": "build",
        },
    }
    AgUiInterrupt.model_validate(one)


def test_records_that_nothing_tells_apart_are_told_by_their_ids() -> None:
    (one,) = clarifications.interrupts(RUN, "build", [mention(Record("class", 1, ("3B",)), Record("class", 2, ("3B",)))])
    assert one["message"].endswith("3B (1) or 3B (2)?")
    assert one["responseSchema"] == {"enum": [1, 2]}


def test_of_many_candidates_the_question_names_some() -> None:
    (one,) = clarifications.interrupts(RUN, "build", [mention(*(Record("class", n, ("3B",)) for n in range(50)))])
    assert "or one of 45 others" in one["message"]
    assert len(one["metadata"]["candidates"]) == clarifications.MAX_CANDIDATES


def test_candidates_of_two_kinds_may_have_the_same_id() -> None:
    rose = mention(Record("class", 1, ("Rose",)), Record("student", 1, ("Rose",)), text="Rose")
    waiting = asked(rose)
    (one,) = waiting.interrupts
    assert one["responseSchema"] == {"enum": ["class:1", "student:1"]}
    assert one["message"] == "Which record is meant by “Rose”: Rose (class) or Rose (student)?"
    answers = clarifications.answered([entry(payload="student:1")], waiting)
    assert answers.chosen == (Entity("student", 1, "Rose", "Rose"),)


def test_an_answer_is_the_record_that_was_chosen() -> None:
    answers = clarifications.answered([entry()], asked(mention(OLD, NEW)))
    assert answers == Answers((Entity("class", "c2", "3B", "3B"),), "build")
    assert answers.settles(mention(OLD, NEW, text="３ｂ"))
    assert not answers.settles(mention(OLD, NEW, text="4C"))


def test_giving_one_question_up_gives_up_all() -> None:
    waiting = asked(mention(OLD, NEW), mention(OLD, NEW, text="4C"))
    assert clarifications.answered([entry(), entry(1, status="cancelled")], waiting).cancelled


@pytest.mark.parametrize(
    ("resume", "says"),
    [
        ([entry(payload="c3")], 'one of "c1", "c2"'),
        ([entry(payload=None)], 'one of "c1", "c2"'),
        ([entry(payload={"id": "c1"})], "one of"),
        ([entry(1)], "there is no interrupt"),
        ([], "of one run"),
        ([{"interrupt_id": "nonsense", "status": "resolved"}], "of one run"),
        ([entry(), {**entry(), "interrupt_id": "01890a5d-ac96-774b-bcce-b302099a8058:0"}], "of one run"),
    ],
)
def test_a_wrong_answer_is_said_to_be_wrong(resume: Any, says: str) -> None:
    def read() -> Answers:
        clarifications.asking_run(resume)
        return clarifications.answered(resume, asked(mention(OLD, NEW)))

    with pytest.raises(RunFailed) as caught:
        read()
    assert says in caught.value.failure.message


def test_true_is_not_the_record_1() -> None:
    ones = mention(Record("class", 1, ("3B",)), Record("class", 2, ("3B",)))
    with pytest.raises(RunFailed):
        clarifications.answered([entry(payload=True)], asked(ones))


def test_each_question_must_be_answered() -> None:
    with pytest.raises(RunFailed, match=f"{RUN}:1 is not answered"):
        clarifications.answered([entry()], asked(mention(OLD, NEW), mention(OLD, NEW, text="4C")))


def test_what_was_never_asked_cannot_be_answered() -> None:
    with pytest.raises(RunFailed, match="no run of this session"):
        clarifications.answered([entry()], None)


def test_the_first_of_a_kind_and_all_of_it_are_inputs() -> None:
    found = [Entity("class", "c1", "3B", "3b"), Entity("student", 7, "Mia", "Mia"), Entity("class", "c2", "4C", "4c")]
    assert clarifications.as_inputs(found) == {
        "class": {"id": "c1", "name": "3B"},
        "class_all": [{"id": "c1", "name": "3B"}, {"id": "c2", "name": "4C"}],
        "student": {"id": 7, "name": "Mia"},
        "student_all": [{"id": 7, "name": "Mia"}],
    }
    assert clarifications.as_inputs([]) == {}
