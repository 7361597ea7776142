"""AG-UI's protocol as its own models write it: the last message is answered, a thread goes on, an interrupt is resumed."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from ag_ui.core import AssistantMessage, ResumeEntry, RunAgentInput, Tool, UserMessage
from ag_ui.core.types import ImagePart, TextPart, UrlSource

from tests.contract.test_edge_api import answers, problem
from tests.support import agui, edge_fakes
from tests.support.edge_fakes import FakeRun, Suite


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_fakes.suite() as one:
        one.executor.script = FakeRun.finish
        yield one


def said(*texts: str) -> list[Any]:
    kinds = (UserMessage, AssistantMessage)
    return [kinds[at % 2](id=f"m{at}", content=text) for at, text in enumerate(texts)]


async def run(edge: Suite, **fields: Any) -> tuple[FakeRun, list[dict[str, Any]]]:
    given = RunAgentInput(**{"thread_id": "thread", "run_id": "run", "messages": [], **fields})
    body = given.model_dump(mode="json", by_alias=True, exclude_none=True)
    streamed = await edge.client.post("/ag-ui", json=body, headers={"Accept": "text/event-stream"})
    assert streamed.status_code == 200, streamed.text
    events = [orjson.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    return edge.executor.runs[streamed.headers["x-run-id"]], events


async def test_the_last_message_is_answered_with_what_was_said_before(edge: Suite) -> None:
    tools = [Tool(name="theirs", description="the application's own", parameters={})]
    found, events = await run(edge, messages=said("hello", "hi", "what is a mill?"), tools=tools, state={"a": 1})
    assert found.body == {
        "message": "what is a mill?",
        "mode": "auto",
        "execute": True,
        "history": [{"role": "user", "text": "hello"}, {"role": "assistant", "text": "hi"}],
        "metadata": {"ag_ui": {"thread_id": "thread", "run_id": "run"}},
    }
    agui.check(events)
    assert events[0]["threadId"] == found.run.session_id


async def test_a_message_may_be_in_parts(edge: Suite) -> None:
    picture = ImagePart(source=UrlSource(value="https://example.org/a.png", mime_type="image/png"))
    message = UserMessage(id="m", content=[TextPart(text="what is "), picture, TextPart(text="this?")])
    found, _ = await run(edge, messages=[message])
    assert found.body["message"] == "what is this?"


async def test_the_application_may_choose_mode_workspace_model_and_priority(edge: Suite) -> None:
    edge.rag.put("default", "contracts", "d1")
    props = {"mode": "qa", "workspace": "contracts", "model": "small", "priority": "background", "theirs": [1]}
    found, _ = await run(edge, messages=said("x"), forwarded_props=props)
    assert (found.body["mode"], found.body["workspace"], found.body["model"]) == ("qa", "contracts", "small")
    assert found.request.priority == edge_fakes.pb.PRIORITY_BACKGROUND


async def test_a_thread_that_is_a_session_goes_on_and_any_other_begins_one(edge: Suite) -> None:
    session = (await edge.client.post("/api/sessions", json={})).json()["session_id"]
    mine, _ = await run(edge, thread_id=session, messages=said("x"))
    assert mine.run.session_id == session
    for thread in ("thread", "0199a1b2-0000-7000-8000-000000000000"):
        fresh, _ = await run(edge, thread_id=thread, messages=said("x"))
        assert fresh.run.session_id not in (session, thread)
        assert fresh.request.session_id == ""


async def test_an_interrupt_is_resumed_in_the_session_that_asked(edge: Suite) -> None:
    session = (await edge.client.post("/api/sessions", json={})).json()["session_id"]
    asked, _ = await run(edge, thread_id=session, messages=said("a report on 3B"))
    answer = ResumeEntry(interrupt_id=f"{asked.run.run_id}:0", status="resolved", payload={"id": "1"})
    found, _ = await run(edge, messages=said("a report on 3B", "which?"), resume=[answer])
    assert found.run.session_id == session
    entry = {"interrupt_id": f"{asked.run.run_id}:0", "status": "resolved", "payload": {"id": "1"}}
    assert found.body["resume"] == [entry]
    assert not {"message", "history"} & set(found.body)


@pytest.mark.parametrize("asked", ["none:0", "0199a1b2-0000-7000-8000-000000000000:0", "nothing"])
async def test_an_answer_to_a_question_that_nobody_asked_is_404(edge: Suite, asked: str) -> None:
    body = {"threadId": "t", "runId": "r", "messages": [], "resume": [{"interruptId": asked, "status": "resolved"}]}
    problem(await edge.client.post("/ag-ui", json=body), 404)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"threadId": "t", "runId": "r", "messages": []},
        {"threadId": "t", "runId": "r", "messages": [{"role": "assistant", "content": "x"}]},
        {"threadId": "t", "runId": "r", "messages": [{"role": "user", "content": "x" * 40_000}]},
        {"threadId": "", "runId": "r", "messages": [{"role": "user", "content": "x"}]},
        {"threadId": "t", "runId": "r", "messages": [{"role": "user", "content": "x"}], "forwardedProps": {"mode": "sing"}},
    ],
    ids=range(6),
)
async def test_what_cannot_be_answered_is_a_problem_before_any_event(edge: Suite, body: Any) -> None:
    assert problem(await edge.client.post("/ag-ui", json=body), 422)["errors"]
    assert edge.executor.submits == 0


async def test_one_key_is_one_run(edge: Suite) -> None:
    edge.executor.script = answers
    body = {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "x"}]}
    both = [await edge.client.post("/ag-ui", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert both[0].headers["x-run-id"] == both[1].headers["x-run-id"]
    assert len(edge.executor.runs) == 1
