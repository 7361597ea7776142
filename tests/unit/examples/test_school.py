"""The school: its records, its service and document, and what its workflows compute from the seeded marks."""

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from headrace_blueprint import validation

from examples.school import records
from examples.school.service import create_app
from tests.support import blueprints
from tests.support.school import SCHOOL, TOKEN, WORKFLOWS, computed, document, served, spec, tools

Json = Any
MIDTERM, FINAL = records.TERMS


async def get(path: str, token: str = TOKEN, **params: Json) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url="http://school") as client:
        return await client.get(path, params=params, headers={"Authorization": f"Bearer {token}"} if token else {})


def rounded(scores: list[int]) -> float:
    """A mean to one decimal, halves up, without the error of floats."""
    return floor(Fraction(sum(scores), len(scores)) * 10 + Fraction(1, 2)) / 10


def scores(class_id: str, term: str, **only: str) -> list[int]:
    return [
        mark.score
        for student in records.students(class_id)
        for mark in records.marks(student.id)
        if mark.term == term and all(getattr(mark, name) == value for name, value in only.items())
    ]


def test_two_classes_are_called_3b_and_their_other_names_tell_them_apart() -> None:
    called = [one for one in records.CLASSES if one.name == "3B"]

    assert [(one.grade, one.campus) for one in called] == [(9, "Riverside"), (12, "Hilltop")]
    assert not set(called[0].aliases) & set(called[1].aliases)
    assert "初三B班" in called[0].aliases


def test_the_records_are_the_same_on_every_machine() -> None:
    seated = records.students("c-j3b")

    assert [student.seat for student in seated] == list(range(1, 31))
    assert len({student.name for student in seated}) == 30
    assert seated[0].name == "Tao Zhao"
    assert sum(scores("c-j3b", MIDTERM)) == 23708
    assert len(scores("c-j3b", FINAL)) == 29 * 12, "one student was ill"


def test_the_committed_document_is_the_one_that_the_service_serves() -> None:
    assert spec() == create_app(TOKEN).openapi()


@pytest.mark.parametrize("token", ["", "another"])
async def test_without_the_token_nothing_is_told(token: str) -> None:
    answer = await get("/classes", token)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_pages_lead_to_every_student_once() -> None:
    names: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = (await get("/classes/c-j3b/students", limit=7, offset=offset)).json()
        names += [one["name"] for one in page["items"]]
        offset = page["next_offset"]

    assert names == [student.name for student in records.students("c-j3b")]


async def test_what_is_not_there_is_404_and_what_is_no_page_is_422() -> None:
    assert (await get("/classes/c-x")).status_code == 404
    assert (await get("/students/s-x/marks")).status_code == 404
    assert (await get("/classes", limit=0)).status_code == 422


@pytest.mark.parametrize(
    ("tool", "args", "path"),
    [
        ("school.list_students", {"class_id": "c-j3b", "limit": 50}, "/classes/c-j3b/students"),
        ("school.list_marks", {"student_id": "s-j3b-17", "term": FINAL, "limit": 100}, "/students/s-j3b-17/marks"),
        (
            "school.list_marks",
            {"student_id": "s-j3b-01", "term": MIDTERM, "subject": "physics"},
            "/students/s-j3b-01/marks",
        ),
        ("school.get_class", {"class_id": "c-s3b"}, "/classes/c-s3b"),
        ("school.list_topics", {"subject": "english"}, "/topics"),
    ],
)
async def test_the_service_answers_what_the_records_say(tool: str, args: dict[str, Json], path: str) -> None:
    answer = (await get(path, **{name: value for name, value in args.items() if not name.endswith("_id")})).json()
    expected = json.loads(json.dumps(served(tool, args)))

    assert {name: answer[name] for name in expected} == expected


@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_workflow_is_valid_with_the_tools_of_the_document(name: str) -> None:
    assert validation.validate(document(name), tools=tools()) == []


def test_there_are_three_workflows_and_the_report_has_twelve_slots() -> None:
    assert WORKFLOWS == ["class-report", "student-comments", "weak-point-quiz"]
    assert len(document("class-report")["layout"]) == 12


def test_the_report_computes_what_the_marks_say() -> None:
    found = computed("class-report", class_id="c-j3b", term=MIDTERM, language="English")

    means = {
        student.name: rounded([mark.score for mark in records.marks(student.id) if mark.term == MIDTERM])
        for student in records.students("c-j3b")
    }
    assert found["figures"] == {
        "students": 30, "examined": 30, "average": rounded(scores("c-j3b", MIDTERM)),
        "best": max(means.values()), "worst": min(means.values()),
    }  # fmt: skip
    assert {one["student"]: one["average"] for one in found["averages"]} == means
    bands = {"90 to 100": (90, 101), "80 to 90": (80, 90), "70 to 80": (70, 80), "60 to 70": (60, 70), "below 60": (0, 60)}
    assert found["distribution"] == [
        {"band": band, "students": sum(low <= mean < high for mean in means.values())}
        for band, (low, high) in bands.items()
    ]
    assert sum(one["students"] for one in found["distribution"]) == 30
    assert [one["student"] for one in found["support"]] == [name for name, mean in means.items() if mean < 60]
    assert found["topics"] == [
        {"subject": subject, "topic": topic, "average": rounded(scores("c-j3b", MIDTERM, topic=topic))}
        for subject, topics in records.SUBJECTS.items()
        for topic in topics
    ]
    by_average = sorted(found["topics"], key=lambda one: (one["average"], one["topic"]))
    assert found["weakest"] == by_average[:3]
    assert found["strongest"] == by_average[:-4:-1]


def test_the_exam_decides_what_the_report_plans() -> None:
    after_midterm = computed("class-report", class_id="c-j3b", term=MIDTERM, language="English")
    after_final = computed("class-report", class_id="c-j3b", term=FINAL, language="English")

    assert after_midterm["holiday_plan"] is None
    assert after_midterm["plan"] == after_midterm["revision_plan"]
    assert after_final["revision_plan"] is None
    assert after_final["plan"] == after_final["holiday_plan"]
    assert after_final["figures"]["examined"] == 29


def test_no_text_of_the_report_is_made_from_another_so_that_one_can_change_alone() -> None:
    texts = {node["id"] for node in document("class-report")["nodes"] if node["kind"] == "compose"}

    for node in document("class-report")["nodes"]:
        if node["kind"] == "compose":
            assert not [one for one in texts if f"nodes.{one}." in node["prompt"]], node["id"]


def test_students_without_any_mark_leave_a_report_without_figures_and_no_failure() -> None:
    def nobody(tool: str, args: Mapping[str, Json]) -> Json:
        return {**served(tool, args), **({"items": []} if tool == "school.list_marks" else {})}

    given = {"class_id": "c-j3b", "term": MIDTERM, "language": "English"}
    found = blueprints.outputs(document("class-report"), inputs=given, tools=tools(), call=nobody)

    assert found["figures"] == {"students": 30, "examined": 0, "average": None, "best": None, "worst": None}
    assert (found["topics"], found["weakest"], found["support"]) == ([], [], [])


def test_the_quiz_is_about_the_two_topics_that_the_class_finds_hardest() -> None:
    found = computed(
        "weak-point-quiz", class_id="c-j3b", term=MIDTERM, subject="mathematics", questions=4, language="English"
    )  # fmt: skip

    means = {topic: rounded(scores("c-j3b", MIDTERM, topic=topic)) for topic in records.SUBJECTS["mathematics"]}
    hardest = sorted(means, key=lambda topic: means[topic])[:2]
    assert [one["topic"] for one in found["weakest"]] == hardest
    assert {one["topic"]: one["average"] for one in found["topics"]} == means
    assert all(topic in found["quiz"] for topic in hardest)


def test_a_quiz_has_four_options_one_of_them_right_and_an_explanation() -> None:
    (schema,) = (node["schema"] for node in document("weak-point-quiz")["nodes"] if node["kind"] == "compose")
    one = {"topic": "t", "question": "q", "options": ["a", "b", "c", "d"], "answer": 3, "explanation": "e"}

    jsonschema.validate({"title": "t", "questions": [one]}, schema)
    for wrong in (
        {**one, "answer": 4},
        {**one, "options": ["a", "b"]},
        {key: one[key] for key in one if key != "explanation"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"title": "t", "questions": [wrong]}, schema)


def test_each_of_the_thirty_students_gets_the_comment_that_was_written_from_their_marks() -> None:
    found = computed("student-comments", class_id="c-j3b", term=FINAL, language="English")

    assert [one["student"] for one in found["by_student"]] == [one.name for one in records.students("c-j3b")]
    for student, one in zip(records.students("c-j3b"), found["by_student"], strict=True):
        marks = ", ".join(f"{mark.topic} {mark.score}" for mark in records.marks(student.id) if mark.term == FINAL)
        assert f"of {student.name}, class 3B" in one["comment"]
        assert f": {marks}. Write in English." in one["comment"]


def test_marks_that_could_not_be_had_move_no_comment_to_another_student() -> None:
    def gap(tool: str, args: Mapping[str, Json]) -> Json:
        return None if args.get("student_id") == "s-j3b-05" else served(tool, args)

    given = {"class_id": "c-j3b", "term": FINAL, "language": "English"}
    found = blueprints.outputs(document("student-comments"), inputs=given, tools=tools(), call=gap)

    for one in found["by_student"]:
        assert f"of {one['student']}, class" in one["comment"]


def test_the_tools_file_names_the_document_the_loopback_host_and_the_entities() -> None:
    file = yaml.safe_load((SCHOOL / "tools.yaml").read_text())

    school = file["connectors"]["school"]
    assert (SCHOOL / school["spec"]).samefile(SCHOOL / "openapi.json")
    assert school["base_url"].startswith("http://127.0.0.1:")
    assert "127.0.0.1" in school["allow_hosts"]
    assert school["auth"]["secret"] == "SCHOOL_TOKEN"
    entity = file["entities"]["class"]
    assert set(entity["args"]) <= set(tools()[entity["tool"]]["properties"])


def json_blocks() -> list[Json]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", (SCHOOL / "README.md").read_text(), re.DOTALL)]


async def test_what_the_readme_shows_is_what_there_is() -> None:
    answer, report = json_blocks()

    assert (await get("/classes/c-j3b/students", limit=1)).json() == answer
    found = computed("class-report", class_id="c-j3b", term=MIDTERM, language="English")
    assert {name: found[name] for name in report} == report


def test_the_workflows_of_the_readmes_commands_take_the_inputs_that_it_gives() -> None:
    commands = re.findall(r"headrace workflow run (\S+) ([^`]*)`", (SCHOOL / "README.md").read_text())

    assert {name for name, _ in commands} == set(WORKFLOWS)
    for name, options in commands:
        given = dict(pair.split("=") for pair in re.findall(r"-i (\S+)", options))
        schema = document(name)["inputs"]
        assert set(schema["required"]) <= set(given) <= set(schema["properties"])
        jsonschema.validate(given, schema)
