"""The example school beside the suite: its workflows fetch, compute and compose; a page is changed by a sentence; a killed
executor's map goes on; an ambiguous class is asked back.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import jsonpatch
import jsonschema
import pytest
from headrace_cli import clarify
from headrace_cli.embedded.program import free_port

from examples.school import records
from tests.e2e import suite as suites
from tests.e2e.suite import Json, Suite
from tests.support import agui, calling_model, obliging_model, school
from tests.support.folders import open_folder
from tests.support.openai_server import OpenAiServer, Reply

MIDTERM, FINAL = records.TERMS
CLASS = "c-j3b"
COMPUTED = ("figures", "distribution", "topics", "weakest", "support")
PROSE = "The class did well."
KILL_AFTER = 10
"""Items of the map that are done when the executor is killed."""
CONCURRENCY = 4
"""Of the map, as its blueprint says."""


@dataclass(frozen=True, slots=True)
class Site:
    """The suite with the school's tools, the school, and the model."""

    suite: Suite
    provider: OpenAiServer
    said: str
    """By the school until it was ready."""


@pytest.fixture(scope="module")
def _site(_provider: OpenAiServer) -> Iterator[Site]:
    port = free_port()
    with open_folder() as home:
        models = home / "models.yaml"
        models.write_text(suites.MODELS.format(url=_provider.base_url))
        tools = school.tools_file(home / "tools.yaml", port)
        arguments = ("--models", str(models), "--tools", str(tools), "--executors", "2")
        with (
            suites.running(home / "state", *arguments, env={"SCHOOL_TOKEN": school.TOKEN}) as suite,
            school.running(port, suites.environment(home / "state")) as said,
        ):
            yield Site(suite, _provider, said)


@pytest.fixture
async def site(_site: Site, provider: OpenAiServer) -> Site:
    """Every part ready; the model writes one sentence, and JSON where it is asked for."""
    await _site.suite.ready()
    provider.worked_out = lambda request: obliging_model.obliging(request, text=PROSE)
    return _site


async def run(site: Site, workflow: str, **inputs: Json) -> tuple[Json, list[dict[str, Any]]]:
    """Run a saved workflow; the run and its events, which are checked to be legal."""
    answer = await site.suite.post(f"/api/workflows/{workflow}/runs", {"inputs": inputs})
    assert answer.status_code == 202, answer.text
    run_id = answer.json()["run_id"]
    events = await site.suite.log(run_id)
    agui.check(events)
    done = await site.suite.run(run_id)
    assert done["status"] == "succeeded", done["error"]
    return done, events


async def page(site: Site, page_id: str) -> Json:
    answer = await site.suite.get(f"/api/pages/{page_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def slots(found: Json) -> dict[str, Json]:
    return {one["slot"]: one["value"] for one in found["slots"]}


def shown(events: Sequence[Mapping[str, Any]]) -> Json:
    """The slots as a client has them that follows STATE_SNAPSHOT and STATE_DELTA."""
    state: Json = None
    for event in events:
        if event["type"] == "STATE_SNAPSHOT":
            state = event["snapshot"]
        elif event["type"] == "STATE_DELTA":
            state = jsonpatch.apply_patch(state, event["delta"])
    return state["page"]["slots"]


def steps(events: Sequence[Mapping[str, Any]], kind: str = "STEP_STARTED") -> list[str]:
    return [event["stepName"] for event in events if event["type"] == kind]


def listed_tools(site: Site) -> list[str]:
    return suites.headrace(site.suite.home, "tools").stdout.splitlines()


async def test_one_command_beside_the_suite_serves_the_school_and_saves_its_workflows(site: Site) -> None:
    listed = suites.headrace(site.suite.home, "workflow", "list", "--json")
    tools = suites.headrace(site.suite.home, "tools", "--json")

    assert [one["workflow_id"] for one in json.loads(listed.stdout)] == school.WORKFLOWS
    of_school = {"name": "school", "protocol": "openapi"}
    connectors = {one["name"]: one.get("connector") for one in json.loads(tools.stdout)}
    assert {name for name, connector in connectors.items() if connector == of_school} == set(school.tools())
    assert connectors["calculator"] is None
    (line,) = [line for line in listed_tools(site) if line.startswith("school.get_class ")]
    assert line.split()[1:4] == ["openapi", "school", "class_id"]
    assert "headrace workflow run class-report" in site.said


async def test_the_class_report_says_what_the_marks_say(site: Site) -> None:
    done, events = await run(site, "class-report", class_id=CLASS, term=MIDTERM)

    expected = school.computed("class-report", class_id=CLASS, term=MIDTERM, language="English")
    found = slots(done["output"]["page"])
    layout = school.document("class-report")["layout"]
    assert [one["slot"] for one in done["output"]["page"]["slots"]] == [one["slot"] for one in layout]
    assert len(found) == 12
    assert {name: found[name] for name in COMPUTED} == {name: expected[name] for name in COMPUTED}
    assert {name: found[name] for name in found if name not in COMPUTED} == {
        name: PROSE for name in found if name not in COMPUTED
    }
    assert shown(events) == found
    stored = await page(site, done["output"]["page"]["page_id"])
    assert slots(stored) == found
    assert (stored["version"], stored["current"]) == (1, True)


async def test_the_phases_and_each_student_are_steps_and_the_branch_takes_one_way(site: Site) -> None:
    done, events = await run(site, "class-report", class_id=CLASS, term=FINAL)

    begun = steps(events)
    assert [name for name in begun if name in ("data", "compute", "compose")][:1] == ["data"]
    assert {"data", "compute", "compose"} <= set(begun)
    assert {name for name in begun if name.startswith("node:marks[")} == {f"node:marks[{at}]" for at in range(30)}
    skipped = [event["value"]["step"] for event in events if event.get("name") == "headrace.skipped"]
    assert "node:revision_plan" in skipped
    assert "node:holiday_plan" not in skipped
    asked = [obliging_model.prompt(request) for request in site.provider.requests]
    assert len(asked) == 7, "one call for each text, none for the way that was not taken"
    assert sum("in the holidays" in one for one in asked) == 1
    assert slots(done["output"]["page"])["figures"]["examined"] == 29


async def test_one_sentence_changes_one_slot_and_is_taken_back(site: Site) -> None:
    done, _ = await run(site, "class-report", class_id=CLASS, term=MIDTERM)
    page_id = done["output"]["page"]["page_id"]
    before = await page(site, page_id)
    site.provider.requests.clear()
    site.provider.worked_out = lambda request: obliging_model.obliging(
        request, text="Well done.", fields={"rewrite": ["summary"], "remove": [], "add": [], "inputs": {}}
    )

    patched = suites.headrace(site.suite.home, "page", "patch", page_id, "make the summary shorter")

    assert patched.returncode == 0, patched.stderr
    after = await page(site, page_id)
    assert slots(after)["summary"] == "Well done."
    assert after["slots"] == [
        {**one, "value": "Well done."} if one["slot"] == "summary" else one for one in before["slots"]
    ]
    assert (after["version"], after["parent_version"], after["instruction"]) == (2, 1, "make the summary shorter")
    composed = [request for request in site.provider.requests if not obliging_model.wants_json(request)]
    assert len(composed) == 1
    assert PROSE in obliging_model.prompt(composed[0]), "who writes it anew sees what it was"

    undone = suites.headrace(site.suite.home, "page", "undo", page_id)
    assert undone.returncode == 0, undone.stderr
    again = await page(site, page_id)
    assert again["slots"] == before["slots"]
    versions = (await site.suite.get(f"/api/pages/{page_id}/versions")).json()["items"]
    assert [one["version"] for one in versions] == list(range(1, len(versions) + 1))
    assert sum(one["current"] for one in versions) == 1


async def test_a_patch_runs_nothing_of_the_page_again_but_what_it_names(site: Site) -> None:
    done, _ = await run(site, "class-report", class_id=CLASS, term=MIDTERM)
    site.provider.worked_out = lambda request: obliging_model.obliging(
        request, text="Shorter.", fields={"rewrite": ["letter"], "remove": [], "add": [], "inputs": {}}
    )
    body = {"kind": "patch", "page_id": done["output"]["page"]["page_id"], "instruction": "shorten the letter"}
    run_id = await site.suite.submit(body)

    events = await site.suite.log(run_id)

    agui.check(events)
    assert (await site.suite.run(run_id))["status"] == "succeeded"
    assert [name for name in steps(events) if name.startswith("node:")] == ["node:letter"]
    assert slots(shown_page := (await site.suite.run(run_id))["output"]["page"])["letter"] == "Shorter."
    assert shown_page["version"] == 2


async def test_the_page_is_a_document_in_html_and_markdown(site: Site) -> None:
    site.provider.worked_out = lambda request: obliging_model.obliging(request, text="<script>alert(1)</script> & more")
    done, _ = await run(site, "class-report", class_id=CLASS, term=MIDTERM)
    page_id = done["output"]["page"]["page_id"]

    html = suites.headrace(site.suite.home, "page", "show", page_id, "--format", "html")
    markdown = suites.headrace(site.suite.home, "page", "show", page_id)

    assert "<script" not in html.stdout
    assert "&lt;script&gt;" in html.stdout
    for slot in school.document("class-report")["layout"]:
        assert slot["title"] in html.stdout
        assert slot["title"] in markdown.stdout


async def test_the_quiz_is_json_that_fits_its_schema_about_the_weakest_topics(site: Site) -> None:
    done, _ = await run(site, "weak-point-quiz", class_id=CLASS, term=MIDTERM, subject="physics", questions=3)

    blueprint = school.document("weak-point-quiz")
    (schema,) = (node["schema"] for node in blueprint["nodes"] if node["kind"] == "compose")
    jsonschema.validate(done["output"]["output"], schema)
    expected = school.computed(
        "weak-point-quiz", class_id=CLASS, term=MIDTERM, subject="physics", questions=3, language="English"
    )
    found = slots(done["output"]["page"])
    assert found["weakest"] == expected["weakest"]
    assert found["quiz"] == done["output"]["output"]
    (request,) = site.provider.requests
    assert all(one["topic"] in obliging_model.prompt(request) for one in expected["weakest"])


def comment(request: Mapping[str, Any]) -> Reply:
    """A comment that names its student, written slowly enough to be killed in the middle."""
    return Reply(text=f"Well done, {student(request)}.", delay_s=0.3, pace_s=0.02)


def student(request: Mapping[str, Any]) -> str:
    found = re.search(r"school report of (.+?), class", obliging_model.prompt(request))
    assert found is not None
    return found[1]


async def owner(suite: Suite, run_id: str) -> str:
    """The part that works on a run."""
    connection = await asyncpg.connect(suite.database_url())
    try:
        held_by = await connection.fetchval("SELECT owner FROM runs WHERE run_id = $1::uuid", run_id)
    finally:
        await connection.close()
    return next(name for name, pid in suite.pids().items() if f"-{pid}-" in held_by)


async def test_a_killed_executors_map_goes_on_with_the_unfinished_students_only(site: Site) -> None:
    site.provider.worked_out = comment
    names = [one.name for one in records.students(CLASS)]
    answer = await site.suite.post("/api/workflows/student-comments/runs", {"inputs": {"class_id": CLASS, "term": MIDTERM}})
    run_id = answer.json()["run_id"]

    events: list[dict[str, Any]] = []
    before: set[str] = set()
    async for event in site.suite.events(run_id):
        events.append(json.loads(event.data))
        finished = {name for name in finished_items(events) if name.startswith("node:comments[")}
        if not before and len(finished) >= KILL_AFTER:
            before = finished
            site.suite.kill(await owner(site.suite, run_id))

    agui.check(events)
    done = await site.suite.run(run_id)
    assert (done["status"], done["attempt"]) == ("succeeded", 2)
    assert done["output"]["output"] == [{"student": name, "comment": f"Well done, {name}."} for name in names]
    calls = [student(request) for request in site.provider.requests]
    again = {name for name in names if calls.count(name) > 1}
    assert set(calls) == set(names)
    assert not again & {names[int(re.findall(r"\d+", step)[0])] for step in before}, "what was finished was paid for again"
    assert len(again) <= CONCURRENCY
    assert max(calls.count(name) for name in names) <= 2
    ended = finished_items(events)
    assert len(ended) == len(set(ended)), "a finished item ended twice"
    for kind in ("marks", "comments"):
        assert {name for name in ended if name.startswith(f"node:{kind}[")} == {f"node:{kind}[{at}]" for at in range(30)}


def finished_items(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps of maps' items that were done, not cut."""
    return [
        event["stepName"]
        for event in events
        if event["type"] == "STEP_FINISHED"
        and event["stepName"].endswith("]")
        and (event.get("metadata") or {}).get("done") is not False
    ]


async def test_a_comment_that_cannot_be_had_leaves_a_gap_and_the_others_stay(site: Site) -> None:
    unlucky = records.students(CLASS)[4].name
    site.provider.worked_out = lambda request: (
        Reply(status=400, error="refused") if student(request) == unlucky else Reply(text=f"Well done, {student(request)}.")
    )

    done, events = await run(site, "student-comments", class_id=CLASS, term=MIDTERM)

    assert [one["student"] for one in done["output"]["output"] if one["comment"] is None] == [unlucky]
    assert sum(one["comment"] is not None for one in done["output"]["output"]) == 29
    gaps = [event["value"] for event in events if event.get("name") == "headrace.gap"]
    assert [gap["step"] for gap in gaps] == ["node:comments[4]"]


async def test_two_classes_of_one_name_are_asked_back_and_the_answer_resolves(site: Site) -> None:
    asking = await site.suite.submit({"kind": "conversation", "mode": "build", "message": "Write a report about class 3B."})

    events = await site.suite.log(asking)
    asked = await site.suite.run(asking)

    agui.check(events)
    assert asked["status"] == "succeeded"
    assert events[-1]["outcome"]["type"] == "interrupt"
    (interrupt,) = events[-1]["outcome"]["interrupts"]
    assert asked["output"]["interrupts"] == [interrupt]
    assert "headrace.clarification" in [event.get("name") for event in events]
    assert interrupt["id"].startswith(f"{asking}:")
    assert interrupt["metadata"]["kind"] == "class"
    assert {one["id"] for one in interrupt["metadata"]["candidates"]} == {"c-j3b", "c-s3b"}

    resume = clarify.answer(clarify.question(interrupt), "c-s3b")
    answered = await site.suite.submit({"kind": "conversation", "session_id": asked["session_id"], "resume": [resume]})
    done = await site.suite.run(answered)

    assert done["status"] == "succeeded", done["error"]
    assert not done["output"].get("interrupts")
    assert await resolved(site, answered) == [("class", "c-s3b")]


@pytest.mark.parametrize("message", ["Write a report about class Junior 3B.", "请写一份初三B班的班级报告。"])
async def test_a_name_that_fits_one_class_is_not_asked_back(site: Site, message: str) -> None:
    run_id = await site.suite.submit({"kind": "conversation", "mode": "build", "message": message})

    done = await site.suite.run(run_id)

    assert done["status"] == "succeeded", done["error"]
    assert not done["output"].get("interrupts")
    assert await resolved(site, run_id) == [("class", "c-j3b")]


async def resolved(site: Site, run_id: str) -> list[tuple[str, str]]:
    """The records that the names of a request stand for: kind and id."""
    answer = await site.suite.get(f"/api/tasks/{run_id}/outputs/resolve")
    assert answer.status_code == 200, answer.text
    return [(one["kind"], one["id"]) for one in answer.json()["entities"]]


DRAFT = {
    "name": "Who sits in a class",
    "nodes": [
        {
            "id": "students",
            "kind": "data",
            "tool": "school.list_students",
            "args": {"class_id": "${inputs.entities.class.id}", "limit": 2},
        },
        {"id": "list", "kind": "compose", "title": "Students", "prompt": "List ${nodes.students.output.items}"},
    ],
}


@pytest.mark.parametrize(("name", "class_id"), [("Junior 3B", "c-j3b"), ("高三B班", "c-s3b")])
async def test_a_name_becomes_a_record_that_the_models_plan_reads_and_the_school_is_asked_for(
    site: Site, name: str, class_id: str
) -> None:
    site.provider.worked_out = lambda request: obliging_model.obliging(request, text=PROSE, fields=DRAFT)
    run_id = await site.suite.submit({"kind": "conversation", "mode": "build", "message": f"Who is in class {name}?"})

    events = await site.suite.log(run_id)
    done = await site.suite.run(run_id)

    agui.check(events)
    assert done["status"] == "succeeded", done["error"]
    (plan,) = [event["value"] for event in events if event.get("name") == "headrace.plan"]
    assert plan["origin"] == "model"
    assert done["output"]["blueprint"]["nodes"][0]["args"] == {"class_id": "${inputs.entities.class.id}", "limit": 2}
    (planned, composed) = map(obliging_model.prompt, site.provider.requests)
    assert "${inputs.entities.class.id}" in planned
    assert class_id not in planned, "a plan for one class is that for another"
    assert all(one.name in composed for one in records.students(class_id)[:2])


async def test_without_a_terminal_the_command_names_the_classes_and_ends_with_a_code_of_its_own(site: Site) -> None:
    asked = suites.headrace(site.suite.home, "chat", "--mode", "build", "Write a report about class 3B.")

    assert asked.returncode == 4, asked.stderr
    assert "c-j3b" in asked.stderr
    assert "c-s3b" in asked.stderr


@pytest.mark.parametrize("tools", [["school.list_classes", "school.get_class"], ["school.*"]])
async def test_a_conversations_model_asks_the_school_itself_and_tells_what_it_said(site: Site, tools: list[str]) -> None:
    site.provider.worked_out = calling_model.calling(
        ("school__list_classes", {"name": "Junior 3B"}), ("school__get_class", {"class_id": CLASS})
    )
    asked = {"kind": "conversation", "mode": "chat", "message": "Who is the tutor of Junior 3B?", "tools": tools}
    run_id = await site.suite.submit(asked)

    events = await site.suite.log(run_id)
    done = await site.suite.run(run_id)

    agui.check(events)
    assert done["status"] == "succeeded", done["error"]
    calls = [event["toolCallName"] for event in events if event["type"] == "TOOL_CALL_START"]
    assert calls == ["school.list_classes", "school.get_class"]
    found = [json.loads(event["content"]) for event in events if event["type"] == "TOOL_CALL_RESULT"]
    assert CLASS in [one["id"] for one in found[0]["items"]]
    assert found[1]["id"] == CLASS
    assert json.dumps(found[1], separators=(",", ":"), ensure_ascii=False) in done["output"]["reply"]
    offered = set(calling_model.functions(site.provider.requests[0]))
    known = {name.replace(".", "__") for name in (tools if tools != ["school.*"] else school.tools())}
    assert offered == known
    assert done["usage"]["llm_calls"] == len(site.provider.requests) == 3


async def test_a_tool_of_the_school_that_is_misspelt_is_refused_with_the_right_name(site: Site) -> None:
    asked = {"mode": "chat", "message": "Who is in 3B?", "tools": ["school.list_student"]}

    refused = await site.suite.post("/api/conversation", asked)

    assert refused.status_code == 422
    assert "did you mean 'school.list_students'?" in refused.json()["errors"][0]["msg"]
    assert not site.provider.requests
