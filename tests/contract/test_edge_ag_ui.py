"""AG-UI's protocol as its own models write it: the last message is answered, a thread goes on, an interrupt is resumed."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from ag_ui.core import AssistantMessage, Context, ResumeEntry, RunAgentInput, Tool, UserMessage
from ag_ui.core.types import ImagePart, TextPart, UrlSource
from headrace_edge.ag_ui import context
from headrace_edge.ag_ui.context import ContextItem
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.test_edge_api import answers, problem
from tests.support import agui, edge_fakes, edge_suite
from tests.support.edge_fakes import FakeRun
from tests.support.edge_suite import Suite


@pytest.fixture
async def edge() -> AsyncIterator[Suite]:
    async with edge_suite.suite() as one:
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
    return edge.executor.runs[streamed.headers["x-run-id"]], read(streamed.text)


def read(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def warnings(events: list[dict[str, Any]]) -> dict[str, str]:
    told = [event["value"] for event in events if event.get("name") == "headrace.warning"]
    return {one["code"]: one["message"] for one in told}


async def test_the_last_message_is_answered_with_what_was_said_before(edge: Suite) -> None:
    found, events = await run(edge, messages=said("hello", "hi", "what is a mill?"), state={"a": 1})
    assert found.body == {
        "message": "what is a mill?",
        "mode": "auto",
        "execute": True,
        "history": [{"role": "user", "text": "hello"}, {"role": "assistant", "text": "hi"}],
        "metadata": {"ag_ui": {"thread_id": "thread", "run_id": "run"}},
    }
    agui.check(events)
    assert not warnings(events)


async def test_events_name_the_clients_thread_and_run_and_the_first_one_ours(edge: Suite) -> None:
    found, events = await run(edge, thread_id="thread", run_id="run", messages=said("x"))
    assert [(event["threadId"], event["runId"]) for event in (events[0], events[-1])] == [("thread", "run")] * 2
    assert events[0]["metadata"] == {"run_id": found.run.run_id, "session_id": found.run.session_id}
    log = await edge.client.get(f"/api/tasks/{found.run.run_id}/events")
    assert read(log.text)[0]["threadId"] == found.run.session_id


@pytest.mark.parametrize("sent", [[], ["hello", "hi"]], ids=len)
async def test_what_the_client_sends_is_the_whole_history(edge: Suite, sent: list[str]) -> None:
    found, _ = await run(edge, messages=said(*sent, "x"))
    assert [turn["text"] for turn in found.body["history"]] == sent


async def test_the_context_is_told_right_before_the_message(edge: Suite) -> None:
    told = [Context(description="the page", value="/orders/7"), Context(description="the user's role", value="buyer")]
    found, events = await run(edge, messages=said("hello", "hi", "x"), context=told)
    *before, last = found.body["history"]
    assert [turn["text"] for turn in before] == ["hello", "hi"]
    assert last["role"] == "user"
    assert last["text"].splitlines()[1:] == ["- the page: /orders/7", "- the user's role: buyer"]
    assert not warnings(events)


@given(st.lists(st.integers(0, context.MAX_CHARACTERS + 10), max_size=20))
def test_a_context_is_told_within_its_limit_and_what_is_left_out_is_counted(sizes: list[int]) -> None:
    items = [ContextItem(description=f"<{at}>", value="x" * size) for at, size in enumerate(sizes)]
    told, left_out = context.turn(items)
    lines = told[0]["text"].splitlines() if told else []
    assert len("\n".join(lines)) <= context.MAX_CHARACTERS
    whole = [line for at, size in enumerate(sizes) if (line := f"- <{at}>: {'x' * size}") in lines]
    assert lines[1:] == whole
    assert len(whole) + left_out == len(items)


async def test_what_has_no_effect_is_said_in_the_stream_and_is_no_event_of_the_run(edge: Suite) -> None:
    picture = ImagePart(source=UrlSource(value="https://example.org/a.png", mime_type="image/png"))
    message = UserMessage(id="m", content=[TextPart(text="what is this?"), picture])
    tools = [Tool(name=f"theirs_{at}", description="the application's own", parameters={}) for at in range(12)]
    long = [Context(description="long", value="x" * 9_000), Context(description="short", value="y")]
    found, events = await run(edge, messages=[message], tools=tools, context=long)
    agui.check(events)
    said_so = warnings(events)
    assert set(said_so) == {"frontend_tools", "context_cut", "content_parts"}
    assert "theirs_9 and 2 more" in said_so["frontend_tools"]
    assert "1 of 2" in said_so["context_cut"]
    assert "image" in said_so["content_parts"]
    assert found.body["history"][0]["text"].endswith("- short: y")
    log = await edge.client.get(f"/api/tasks/{found.run.run_id}/events")
    assert not warnings(read(log.text))


async def test_numbers_are_those_of_the_log(edge: Suite) -> None:
    message = {"id": "m", "role": "user", "content": "x"}
    body = {"threadId": "t", "runId": "r", "messages": [message], "tools": [{"name": "theirs"}]}
    answer = await edge.client.post("/ag-ui", json=body)
    blocks = [block for block in answer.text.split("\n\n") if block]
    assert [block.partition("id: ")[2][:1] for block in blocks] == ["1", "", "2"]


async def test_a_message_may_be_in_parts(edge: Suite) -> None:
    picture = ImagePart(source=UrlSource(value="https://example.org/a.png", mime_type="image/png"))
    message = UserMessage(id="m", content=[TextPart(text="what is "), picture, TextPart(text="this?")])
    found, _ = await run(edge, messages=[message])
    assert found.body["message"] == "what is this?"


async def test_the_application_may_choose_mode_workspace_model_and_priority(edge: Suite) -> None:
    edge.rag.put("default", "contracts", "d1")
    props = {"mode": "qa", "workspace": "contracts", "model": "small", "tools": ["school.get_class"]}
    found, _ = await run(edge, messages=said("x"), forwarded_props={**props, "priority": "background", "theirs": [1]})
    assert {name: found.body[name] for name in props} == props
    assert found.request.priority == edge_fakes.pb.PRIORITY_BACKGROUND


async def test_a_thread_goes_on_with_its_session(edge: Suite) -> None:
    session = (await edge.client.post("/api/sessions", json={})).json()["session_id"]
    for thread in (session, "thread", "0199a1b2-0000-7000-8000-000000000000"):
        first, again = [(await run(edge, thread_id=thread, messages=said("x")))[0] for _ in range(2)]
        assert first.run.session_id == again.run.session_id
        assert (first.request.session_id, first.request.thread_id) == ("", thread)
    assert (await run(edge, thread_id=session, messages=said("x")))[0].run.session_id == session


async def test_an_interrupt_is_resumed_in_the_session_that_asked(edge: Suite) -> None:
    session = (await edge.client.post("/api/sessions", json={})).json()["session_id"]
    asked, _ = await run(edge, thread_id=session, messages=said("a report on 3B"))
    answer = ResumeEntry(interrupt_id=f"{asked.run.run_id}:0", status="resolved", payload={"id": "1"})
    found, _ = await run(edge, messages=said("a report on 3B", "which?"), resume=[answer])
    assert found.run.session_id == session
    entry = {"interrupt_id": f"{asked.run.run_id}:0", "status": "resolved", "payload": {"id": "1"}}
    assert found.body["resume"] == [entry]
    assert not {"message", "history"} & set(found.body)
    assert found.request.thread_id == ""


async def test_a_question_is_given_up_beside_the_message_that_the_client_sends_with_it(edge: Suite) -> None:
    asked, _ = await run(edge, messages=said("a report on 3B"))
    given_up = ResumeEntry(interrupt_id=f"{asked.run.run_id}:0", status="cancelled")
    found, _ = await run(edge, messages=said("a report on 3B", "which?", "never mind, hello"), resume=[given_up])
    assert found.body["message"] == "never mind, hello"
    assert [turn["text"] for turn in found.body["history"]] == ["a report on 3B", "which?"]
    assert [entry["status"] for entry in found.body["resume"]] == ["cancelled"]
    found, _ = await run(edge, messages=[], resume=[given_up])
    assert "message" not in found.body


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
        {"threadId": "a\x00b", "runId": "r", "messages": [{"role": "user", "content": "x"}]},
        {"threadId": "", "runId": "r", "messages": [{"role": "user", "content": "x"}]},
        {"threadId": "t", "runId": "r", "messages": [{"role": "user", "content": "x"}], "forwardedProps": {"mode": "sing"}},
    ],
    ids=range(7),
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


@pytest.mark.parametrize("asked", [None, True])
async def test_a_reader_that_leaves_cancels_the_run_only_when_it_said_so(edge: Suite, asked: bool | None) -> None:
    edge.executor.script = None
    props = {"cancelOnDisconnect": True} if asked else {}
    message = {"id": "m", "role": "user", "content": "x"}
    body = {"threadId": "t", "runId": "r", "messages": [message], "forwardedProps": props}
    async with edge.client.stream("POST", "/ag-ui", json=body) as answer:
        run_id = answer.headers["x-run-id"]
        await anext(answer.aiter_lines())
    found = edge.executor.runs[run_id]
    if asked:
        await edge_suite.until(lambda: found.ended)
        assert found.run.state == edge_fakes.pb.RUN_STATE_CANCELLED
    else:
        await edge_suite.until(lambda: edge.executor.watchers == 0)
        assert not found.ended


async def test_a_stream_that_breaks_off_says_so_to_a_client_that_cannot_come_back() -> None:
    async with edge_suite.suite(watch_retry_s=1) as edge:
        body = {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "x"}]}
        async with edge.client.stream("POST", "/ag-ui", json=body) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            await edge.executor_part.kill()
            rest = [line async for line in lines]
        (last,) = [orjson.loads(line[6:]) for line in rest if line.startswith("data: ")][-1:]
        assert (last["type"], last["metadata"]) == ("RUN_ERROR", {"reason": "EVENTS_AWAY"})
        assert answer.headers["x-run-id"]


async def test_a_drain_lets_a_stream_end() -> None:
    async with edge_suite.suite() as edge:
        body = {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "x"}]}
        async with edge.client.stream("POST", "/ag-ui", json=body) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            edge.running.application.drain.begin()
            for stream in edge.running.application.streams.opened():
                stream.end("drain")
            await edge.executor.runs[answer.headers["x-run-id"]].finish()
            assert read("\n".join([line async for line in lines]))[-1]["type"] == "RUN_FINISHED"
