"""ExecutorService, SessionService and CatalogService against their proto, through a real server and a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor.runs import ids
from headrace_llm.client import ModelSignals
from headrace_runtime import channels, errors

from tests.support.executor_durable import Executor, ScriptedPipeline, executor, refused, settings
from tests.support.models import ScriptedModels


@pytest.fixture
async def one(postgres_url: str) -> AsyncIterator[Executor]:
    models = ScriptedModels(gate_signals=[ModelSignals("big", effective_rpm=60, queue_depth=3)])
    async with executor(settings(postgres_url), ScriptedPipeline(), models) as value:
        yield value


async def call(method: Any, request: Any) -> Any:
    return await channels.unary(method, request, timeout_s=20)


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant": ""},
        {"tenant": "x" * 129},
        {"request_id": "x" * 129},
        {"kind": pb.RUN_KIND_UNSPECIFIED},
        {"kind": 99},
        {"priority": 9},
        {"thread_id": "x" * 201},
        {"thread_id": "a\x00b"},
        {"body": b"[]"},
        {"body": b'{"message":"x","model":"gone"}'},
    ],
)
async def test_a_wrong_submission_is_refused_with_its_field_and_leaves_nothing(one: Executor, fields: Any) -> None:
    error = await refused(one.submit(**fields))
    assert isinstance(error, errors.InvalidArgument)
    assert error.violations
    assert not (await call(one.runs.ListRuns, pb.ListRunsRequest(tenant_id="t"))).runs
    assert not (await call(one.sessions.ListSessions, pb.ListSessionsRequest(tenant_id="t"))).sessions


@pytest.mark.parametrize("session", ["nonsense", ids.new()])
async def test_a_session_that_is_not_the_tenants_is_not_found(one: Executor, session: str) -> None:
    theirs = (await call(one.sessions.CreateSession, pb.CreateSessionRequest(tenant_id="other"))).session
    for session_id in (session, theirs.session_id):
        assert isinstance(await refused(one.submit(session_id=session_id)), errors.NotFound)


async def listed(one: Executor, tenant: str) -> list[str]:
    found = await call(one.sessions.ListSessions, pb.ListSessionsRequest(tenant_id=tenant))
    return [session.session_id for session in found.sessions]


async def test_a_thread_is_one_session_however_many_runs_begin_it_at_once(one: Executor) -> None:
    runs = await asyncio.gather(*(one.submit(thread_id="their name") for _ in range(16)))
    later = await one.submit(thread_id="their name")
    assert {run.session_id for run in (*runs, later)} == set(await listed(one, "t"))
    assert len(await listed(one, "t")) == 1
    assert (await one.log(later.run_id))[0]["threadId"] == later.session_id


async def test_a_thread_is_a_tenants_own(one: Executor) -> None:
    theirs = await one.submit(tenant="other", thread_id="a name")
    by_name, by_id, again = [await one.submit(thread_id=name) for name in ("a name", theirs.session_id, theirs.session_id)]
    assert await listed(one, "other") == [theirs.session_id]
    assert by_id.session_id == again.session_id
    assert {by_name.session_id, by_id.session_id} == set(await listed(one, "t"))


async def test_a_thread_may_be_named_by_its_session(one: Executor) -> None:
    session = (await call(one.sessions.CreateSession, pb.CreateSessionRequest(tenant_id="t"))).session
    assert (await one.submit(thread_id=session.session_id)).session_id == session.session_id
    assert await listed(one, "t") == [session.session_id]


async def test_a_deleted_thread_begins_anew(one: Executor) -> None:
    first = await one.submit(thread_id="a name")
    await one.log(first.run_id)
    await call(one.sessions.DeleteSession, pb.DeleteSessionRequest(tenant_id="t", session_id=first.session_id))
    again = await one.submit(thread_id="a name")
    assert await listed(one, "t") == [again.session_id]
    assert again.session_id != first.session_id


async def test_another_tenants_run_does_not_exist(one: Executor) -> None:
    run = await one.submit(tenant="t")
    await one.log(run.run_id)
    for refusal in (
        await refused(one.get(run.run_id, tenant="u")),
        await refused(one.log(run.run_id, tenant="u")),
        await refused(one.cancel(run.run_id, tenant="u")),
        await refused(one.get("nonsense")),
        await refused(one.log("nonsense")),
        await refused(one.get(ids.new(), wait_s=1)),
    ):
        assert (type(refusal), refusal.reason) == (errors.NotFound, "RUN_NOT_FOUND")


async def test_watching_from_any_place_and_past_the_end(one: Executor) -> None:
    run = await one.submit()
    log = await one.log(run.run_id)
    for after in range(len(log) + 1):
        assert await one.log(run.run_id, after=after) == log[after:]
    assert isinstance(await refused(one.log(run.run_id, after=len(log) + 1)), errors.OutOfRange)
    assert isinstance(await refused(one.log(run.run_id, after=-1)), errors.InvalidArgument)


async def test_get_waits_for_the_end(one: Executor) -> None:
    run = await one.submit()
    done = await one.get(run.run_id, wait_s=20)
    assert done.state == pb.RUN_STATE_SUCCEEDED
    assert done.start_time.ToNanoseconds() >= done.create_time.ToNanoseconds()
    assert done.end_time.ToNanoseconds() >= done.start_time.ToNanoseconds()
    assert isinstance(await refused(one.get(run.run_id, wait_s=61)), errors.InvalidArgument)


async def test_runs_are_listed_newest_first_page_by_page(one: Executor) -> None:
    first = await one.submit()
    runs = [first, *[await one.submit(session_id=first.session_id) for _ in range(4)], await one.submit()]
    for run in runs:
        await one.get(run.run_id, wait_s=20)
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListRunsRequest(tenant_id="t", page_size=4, page_token=token)
        page = await call(one.runs.ListRuns, request)
        seen += [run.run_id for run in page.runs]
        token = page.next_page_token
        if not token:
            break
    assert seen == [run.run_id for run in reversed(runs)]
    for fields, count in (
        ({"session_id": first.session_id}, 5),
        ({"session_id": "nonsense"}, 0),
        ({"state": pb.RUN_STATE_SUCCEEDED}, 6),
        ({"state": pb.RUN_STATE_FAILED}, 0),
        ({"kind": pb.RUN_KIND_PAGE}, 0),
    ):
        assert len((await call(one.runs.ListRuns, pb.ListRunsRequest(tenant_id="t", **fields))).runs) == count


@pytest.mark.parametrize("fields", [{"page_token": "!"}, {"page_token": "YWJj"}, {"page_size": 201}, {"page_size": -1}])
async def test_a_page_that_cannot_be_is_refused(one: Executor, fields: Any) -> None:
    error = await refused(call(one.runs.ListRuns, pb.ListRunsRequest(tenant_id="t", **fields)))
    assert isinstance(error, errors.InvalidArgument)


async def test_a_session_lives_and_its_messages_are_in_order(one: Executor) -> None:
    request = pb.CreateSessionRequest(tenant_id="t", title="Rivers", metadata=b'{"a":1}')
    session = (await call(one.sessions.CreateSession, request)).session
    for n in range(3):
        run = await one.submit(session_id=session.session_id, message=f"m{n}")
        await one.get(run.run_id, wait_s=20)
    got = (await call(one.sessions.GetSession, pb.GetSessionRequest(tenant_id="t", session_id=session.session_id))).session
    assert (got.title, orjson.loads(got.metadata)) == ("Rivers", {"a": 1})
    assert got.update_time.ToNanoseconds() > got.create_time.ToNanoseconds()
    texts: list[str] = []
    token = ""
    while True:
        page = await call(
            one.sessions.ListMessages,
            pb.ListMessagesRequest(tenant_id="t", session_id=session.session_id, page_size=4, page_token=token),
        )
        texts += [message.text for message in page.messages]
        token = page.next_page_token
        if not token:
            break
    assert texts == ["m0", "done", "m1", "done", "m2", "done"]
    await call(one.sessions.DeleteSession, pb.DeleteSessionRequest(tenant_id="t", session_id=session.session_id))
    for method, message in (
        (one.sessions.GetSession, pb.GetSessionRequest),
        (one.sessions.ListMessages, pb.ListMessagesRequest),
        (one.sessions.DeleteSession, pb.DeleteSessionRequest),
    ):
        error = await refused(call(method, message(tenant_id="t", session_id=session.session_id)))
        assert error.reason == "SESSION_NOT_FOUND"


@pytest.mark.parametrize(
    "fields",
    [{"title": "x" * 201}, {"title": "a\x00"}, {"metadata": b"[]"}, {"metadata": b"{"}, {"metadata": b"x" * 17_000}],
)
async def test_a_session_that_cannot_be_is_refused(one: Executor, fields: Any) -> None:
    error = await refused(call(one.sessions.CreateSession, pb.CreateSessionRequest(tenant_id="t", **fields)))
    assert isinstance(error, errors.InvalidArgument)


async def test_the_catalogue_has_the_registry_its_gates_and_the_tools(one: Executor) -> None:
    models = await call(one.catalog.ListModels, pb.ListModelsRequest())
    assert models.default_model == "big"
    states = {model.id: model.state.queue_depth for model in models.models}
    assert states == {"big": 3, "small": 0}
    tools = await call(one.catalog.ListTools, pb.ListToolsRequest(tenant_id="t"))
    schemas = {tool.name: orjson.loads(tool.input_schema) for tool in tools.tools}
    assert schemas["calculator"]["required"] == ["expression"]
    assert set(schemas) >= {"calculator", "time", "search"}


async def test_history_is_what_was_said_before_the_run(one: Executor) -> None:
    first = await one.submit(message="before")
    await one.get(first.run_id, wait_s=20)
    second = await one.submit(message="now", session_id=first.session_id)
    await one.get(second.run_id, wait_s=20)
    journal_run: Any = await _claimed(one, second)
    turns = await one.durable.sessions.history(journal_run, limit=10)
    assert [(turn.role, turn.text) for turn in turns] == [("user", "before"), ("assistant", "done")]
    assert [turn.text for turn in await one.durable.sessions.history(journal_run, limit=1)] == ["done"]


async def _claimed(one: Executor, run: pb.Run) -> Any:
    from tests.support.executor_fakes import claimed

    stored = await one.durable.runs.get("t", run.run_id)
    return claimed({}, run_id=run.run_id, session_id=run.session_id, created_at=stored.created_at)


async def start(one: Executor, request_id: str, *, tenant: str = "t") -> list[pb.StartRunResponse]:
    """Start a run and read its stream to the end."""
    body = orjson.dumps({"message": "hello"})
    submit = pb.SubmitRunRequest(tenant_id=tenant, request_id=request_id, kind=pb.RUN_KIND_CONVERSATION, body=body)
    stream = channels.stream(one.runs.StartRun, pb.StartRunRequest(submit=submit), timeout_s=20)
    return [answer async for answer in stream]


async def test_a_started_run_is_told_once_and_streamed_from_its_first_event_to_its_last(one: Executor) -> None:
    answers = await start(one, "a key")
    again = await start(one, "a key")

    assert [answer.HasField("run") for answer in answers] == [True] + [False] * (len(answers) - 1)
    run_id = answers[0].run.run_id
    events = [event for answer in answers for event in answer.events]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert orjson.loads(events[0].data)["type"] == "RUN_STARTED"
    assert orjson.loads(events[-1].data)["type"] == "RUN_FINISHED"
    assert again[0].run.run_id == run_id
    assert [event for answer in again for event in answer.events] == events


async def test_a_start_that_cannot_be_watched_accepts_nothing(postgres_url: str) -> None:
    async def wait(*_: Any) -> None:
        await asyncio.Event().wait()

    async with executor(settings(postgres_url, max_watchers=1), ScriptedPipeline(before=wait)) as one:
        run = await one.submit(tenant="other")
        async with aclosing(one.watch(run.run_id, tenant="other")) as watching:
            await anext(watching)

            error = await refused(start(one, "a key"))

            assert isinstance(error, errors.ResourceExhausted)
            assert not (await call(one.runs.ListRuns, pb.ListRunsRequest(tenant_id="t"))).runs


async def test_an_accepted_start_is_told_even_when_its_events_cannot_be_read(
    one: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> AsyncIterator[Any]:
        raise errors.Unavailable("the database does not answer")
        yield ()

    monkeypatch.setattr("headrace_executor.runs.watch.Watchers.watch", away)
    submit = pb.SubmitRunRequest(
        tenant_id="t", request_id="a key", kind=pb.RUN_KIND_CONVERSATION, body=orjson.dumps({"message": "hello"})
    )
    stream = channels.stream(one.runs.StartRun, pb.StartRunRequest(submit=submit), timeout_s=20)

    told = await anext(stream)

    assert told.run.run_id
    assert not told.events
    with pytest.raises(errors.Unavailable):
        await anext(stream)
