"""AG-UI's own JavaScript client against the suite. It verifies events, and keeps messages, state and interrupts itself."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from headrace_cli.embedded.program import free_port

from examples.school import records
from tests.e2e import suite as suites
from tests.e2e.suite import Json, Suite
from tests.support import ag_ui_client, agui, obliging_model, school
from tests.support.ag_ui_client import Client
from tests.support.folders import open_folder
from tests.support.openai_server import OpenAiServer, Reply

PROSE = "The class did well."
CHAT = {"mode": "chat"}
BUILD = {"mode": "build"}
SLOW = Reply(text="A mill grinds corn. " * 20, pace_s=0.05)


@dataclass(frozen=True, slots=True)
class Site:
    """The suite with the school's tools, its model, and the client."""

    suite: Suite
    provider: OpenAiServer
    client: Client

    async def converse(self, *turns: Mapping[str, Json], **agent: Json) -> list[Json]:
        """What the client made of each turn, all that it warns of being a fault of ours."""
        reports = await asyncio.to_thread(self.client.converse, self.suite.url, *turns, **agent)
        assert [report["warnings"] for report in reports] == [[]] * len(turns)
        return reports

    def prompts(self) -> list[str]:
        """What the model was asked."""
        return [obliging_model.prompt(request) for request in self.provider.requests]


@pytest.fixture(scope="module")
def _site(_provider: OpenAiServer) -> Iterator[Site]:
    port = free_port()
    with ag_ui_client.installed() as client, open_folder() as home:
        models = home / "models.yaml"
        models.write_text(suites.MODELS.format(url=_provider.base_url))
        tools = school.tools_file(home / "tools.yaml", port)
        arguments = ("--models", str(models), "--tools", str(tools), "--executors", "2")
        with (
            suites.running(home / "state", *arguments, env={"SCHOOL_TOKEN": school.TOKEN}) as suite,
            school.running(port, suites.environment(home / "state")),
        ):
            yield Site(suite, _provider, client)


@pytest.fixture
async def site(_site: Site, provider: OpenAiServer) -> Site:
    """Every part ready; the model writes one sentence, and JSON where it is asked for."""
    await _site.suite.ready()
    provider.worked_out = lambda request: obliging_model.obliging(request, text=PROSE)
    return _site


def said(report: Json, role: str = "assistant") -> list[str]:
    return [message["content"] for message in report["messages"] if message["role"] == role and message.get("content")]


def customs(report: Json, name: str) -> list[Json]:
    return [event["value"] for event in report["events"] if event.get("name") == f"headrace.{name}"]


def planning(*nodes: Json) -> Any:
    """A model whose plan has these nodes."""
    draft = {"name": "A page", "nodes": nodes}
    return lambda request: obliging_model.obliging(request, text=PROSE, fields=draft)


def students(class_id: str, **more: Json) -> Json:
    return {
        "id": "students",
        "kind": "data",
        "tool": "school.list_students",
        "args": {"class_id": class_id, "limit": 2},
        **more,
    }


LIST = {"id": "list", "kind": "compose", "title": "Students", "prompt": "List ${nodes.students.output}"}


async def test_a_thread_is_one_session_and_each_turn_is_told_once(site: Site) -> None:
    first, second = await site.converse(
        {"say": "I am Ada.", "forwardedProps": CHAT, "runId": "one"}, {"say": "Who am I?", "forwardedProps": CHAT}
    )

    assert said(second) == [PROSE, PROSE]
    assert first["result"]["reply"] == PROSE
    started, *_, finished = first["events"]
    for event in (started, finished):
        assert (event["threadId"], event["runId"]) == (first["threadId"], "one")
    assert started["metadata"]["run_id"] == first["ourRunId"]
    assert site.prompts()[1].count("I am Ada.") == 1
    assert site.prompts()[1].count(PROSE) == 1
    (session,) = {report["events"][0]["metadata"]["session_id"] for report in (first, second)}
    kept = (await site.suite.get(f"/api/sessions/{session}/messages")).json()["items"]
    assert [one["text"] for one in kept] == ["I am Ada.", PROSE, "Who am I?", PROSE]


async def test_what_is_regenerated_is_answered_without_what_was_taken_back(site: Site) -> None:
    _, edited = await site.converse(
        {"say": "I am Ada.", "forwardedProps": CHAT},
        {"edit": {"at": 0, "text": "I am Bob."}, "forwardedProps": CHAT},
    )

    assert said(edited, "user") == ["I am Bob."]
    assert "Ada" not in site.prompts()[1]
    assert PROSE not in site.prompts()[1]


async def test_documents_are_searched_and_the_context_is_told(site: Site) -> None:
    body = {"title": "House rules", "text": "Homework is due on Friday at noon.", "workspace": "school"}
    accepted = await site.suite.post("/api/internal/documents/parse", body)
    assert (await site.suite.run(accepted.json()["run_id"]))["status"] == "succeeded"
    site.provider.requests.clear()

    (report,) = await site.converse({
        "say": "When is homework due?",
        "context": [{"description": "the user's class", "value": "Junior 3B"}],
        "forwardedProps": {"mode": "qa", "workspace": "school"},
    })  # fmt: skip

    assert report["outcome"] == "success"
    assert said(report) == [PROSE]
    assert report["result"]["citations"][0]["title"] == "House rules"
    assert "Friday at noon" in site.prompts()[-1]
    assert "the user's class: Junior 3B" in site.prompts()[-1]


async def test_the_clients_state_is_the_page_and_its_calls_have_their_results(site: Site) -> None:
    site.provider.worked_out = planning(students("c-j3b"), LIST)

    (report,) = await site.converse({"say": "Who is in class Junior 3B?", "forwardedProps": BUILD})

    page = report["result"]["page"]
    assert report["state"]["page"]["slots"] == {one["slot"]: one["value"] for one in page["slots"]}
    assert PROSE in report["state"]["page"]["slots"].values()
    stored = (await site.suite.get(f"/api/pages/{page['page_id']}")).json()
    assert stored["slots"] == page["slots"]
    assert report["pendingToolCallIds"] == []
    (call,) = [call for message in report["messages"] for call in message.get("toolCalls", [])]
    assert call["function"]["name"] == "school.list_students"
    assert json.loads(call["function"]["arguments"]) == {"class_id": "c-j3b", "limit": 2}
    (answer,) = [message for message in report["messages"] if message["role"] == "tool"]
    assert answer["toolCallId"] == call["id"]
    assert [one["name"] for one in json.loads(answer["content"])["items"]] == [
        one.name for one in records.students("c-j3b")[:2]
    ]


async def test_a_models_own_calls_belong_to_its_message(site: Site) -> None:
    def model(request: Mapping[str, Any]) -> Reply:
        if any(message["role"] == "tool" for message in request["messages"]):
            return Reply(text="It is 42.")
        wish = ("c1", request["tools"][0]["function"]["name"], '{"expression": "6 * 7"}')
        return Reply(text="Let me see. ", tool_calls=(wish,), finish_reason="tool_calls")

    site.provider.worked_out = model
    node = {"id": "sum", "kind": "compose", "prompt": "What is 6 * 7?", "tools": ["calculator"]}
    blueprint = {"version": 1, "name": "A sum", "nodes": [node], "output": "${nodes.sum.output}"}
    run_id = await site.suite.submit({"kind": "page", "blueprint": blueprint})

    (report,) = await site.converse({"watch": run_id})

    assert report["pendingToolCallIds"] == []
    (asking,) = [message for message in report["messages"] if message.get("toolCalls")]
    assert asking["content"] == "Let me see. "
    (answer,) = [message for message in report["messages"] if message["role"] == "tool"]
    assert json.loads(answer["content"])["value"] == 42
    assert said(report)[-1] == "It is 42."


async def test_a_gap_is_told_and_no_call_is_left_to_the_client(site: Site) -> None:
    site.provider.worked_out = planning(students("nowhere", on_error="continue"), LIST)

    (report,) = await site.converse({"say": "Who is in the class?", "forwardedProps": BUILD})

    assert report["outcome"] == "success"
    (gap,) = customs(report, "gap")
    assert gap["step"] == "node:students"
    assert report["pendingToolCallIds"] == []
    (answer,) = [message for message in report["messages"] if message["role"] == "tool"]
    assert json.loads(answer["content"])["error"]
    assert report["state"]["page"]["slots"] == {one["slot"]: one["value"] for one in report["result"]["page"]["slots"]}


async def test_a_run_that_fails_is_an_error_and_the_thread_goes_on(site: Site) -> None:
    site.provider.script.append(Reply(status=400, error="refused"))

    failed, after = await site.converse({"say": "hello", "forwardedProps": CHAT}, {"say": "again", "forwardedProps": CHAT})

    assert failed["runError"]["code"] == "provider"
    assert "thrown" not in failed
    assert said(after) == [PROSE]


async def test_a_request_that_is_refused_names_what_to_change(site: Site) -> None:
    (refused,) = await site.converse({"say": "hello", "forwardedProps": {"mode": "sing"}})

    assert refused["failure"]["status"] == 422
    (fault,) = json.loads(refused["failure"]["payload"])["errors"]
    assert fault["loc"] == ["body", "forwardedProps", "mode"]


async def running(site: Site, run_id: str = "") -> str:
    """The newest run, once it writes."""
    async with asyncio.timeout(suites.RUN_S):
        while True:
            (newest,) = (await site.suite.get("/api/tasks?limit=1")).json()["items"]
            if newest["status"] == "running" and newest["run_id"] != run_id:
                await site.suite.begun(newest["run_id"])
                return str(newest["run_id"])
            await asyncio.sleep(0.05)


async def test_a_run_that_is_cancelled_ends_as_cancelled(site: Site) -> None:
    site.provider.otherwise, site.provider.worked_out = SLOW, None
    async with asyncio.TaskGroup() as group:
        conversation = group.create_task(site.converse({"say": "hello", "forwardedProps": CHAT}))
        run_id = await running(site)
        assert (await site.suite.call("DELETE", f"/api/tasks/{run_id}")).status_code == 202

    (report,) = conversation.result()
    assert report["ourRunId"] == run_id
    assert report["outcome"] == "cancelled"


@pytest.mark.parametrize(("asked", "status"), [(False, "succeeded"), (True, "cancelled")])
async def test_a_run_that_the_client_leaves_goes_on_unless_it_is_to_be_cancelled(
    site: Site, asked: bool, status: str
) -> None:
    site.provider.otherwise, site.provider.worked_out = SLOW, None
    props = {**CHAT, "cancelOnDisconnect": asked}

    (report,) = await site.converse({"say": "hello", "forwardedProps": props, "abortOn": "TEXT_MESSAGE_CONTENT"})

    assert report["runError"]["code"] == "abort"
    assert (await site.suite.run(report["ourRunId"]))["status"] == status


async def test_a_question_is_asked_back_and_answered_in_the_thread(site: Site) -> None:
    asked, answered = await site.converse(
        {"say": "Write a report about class 3B.", "forwardedProps": BUILD},
        {"resume": {"status": "resolved", "pick": 1}},
    )

    assert asked["outcome"] == "interrupt"
    assert [one["id"] for one in asked["pendingInterrupts"]] == [f"{asked['ourRunId']}:0"]
    assert answered["outcome"] == "success"
    assert answered["pendingInterrupts"] == []
    sessions = {report["events"][0]["metadata"]["session_id"] for report in (asked, answered)}
    assert len(sessions) == 1
    resolved = await site.suite.get(f"/api/tasks/{answered['ourRunId']}/outputs/resolve")
    assert [one["id"] for one in resolved.json()["entities"]] == ["c-s3b"]


async def test_a_question_is_given_up_for_another_message(site: Site) -> None:
    given_up = {"status": "cancelled"}
    _, ignored, other, _, only = await site.converse(
        {"say": "Write a report about class 3B.", "forwardedProps": BUILD},
        {"say": "Never mind, hello.", "forwardedProps": CHAT},
        {"resume": given_up, "forwardedProps": CHAT},
        {"say": "Write a report about class 3B.", "forwardedProps": BUILD},
        {"resume": given_up},
    )

    assert "pending interrupt" in ignored["thrown"], "the client itself wants every question answered or given up"
    assert other["result"]["intent"]["kind"] == "chat"
    assert "Never mind, hello." in site.prompts()[-1]
    assert only["outcome"] == "success"
    assert only["pendingInterrupts"] == []
    assert len(site.prompts()) == 1, "a question that is only given up asks no model"


async def test_the_applications_own_tools_are_said_not_to_be_called(site: Site) -> None:
    tool = {"name": "open_dialog", "description": "Opens a dialog.", "parameters": {"type": "object"}}

    (report,) = await site.converse({"say": "hello", "tools": [tool], "forwardedProps": CHAT})

    (warning,) = customs(report, "warning")
    assert warning["code"] == "frontend_tools"
    assert "open_dialog" in warning["message"]
    assert said(report) == [PROSE]


async def test_a_stream_goes_on_where_a_killed_edge_left_it(site: Site) -> None:
    site.provider.otherwise, site.provider.worked_out = SLOW, None
    async with asyncio.TaskGroup() as group:
        conversation = group.create_task(site.converse({"say": "hello", "forwardedProps": CHAT}, comesBack=True))
        run_id = await running(site)
        site.suite.kill("edge")

    (report,) = conversation.result()
    assert report["outcome"] == "success"
    assert said(report) == [SLOW.text]
    agui.check(report["events"])
    log = await site.suite.log(run_id)
    assert [event["type"] for event in report["events"]] == [event["type"] for event in log]


async def test_the_example_talks(site: Site) -> None:
    site.provider.worked_out = planning(students("c-j3b"), LIST)
    lines = "Write a report about class 3B.\n1\n"

    spoken = await asyncio.to_thread(site.client.run, "chat.mjs", lines, HEADRACE_URL=site.suite.url, HEADRACE_MODE="build")

    assert "1  3B (c-j3b)" in spoken
    assert PROSE in spoken
    assert "[school.list_students" in spoken
    assert "[page: " in spoken


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((ag_ui_client.SOURCE / "package-lock.json").read_text())
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name
