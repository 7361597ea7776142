"""MemoryService against its proto, through a real server and a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as run_pb
from headrace.executor.v1 import memories_pb2 as pb
from headrace_executor import memories
from headrace_runtime import channels, errors

from tests.support.embeddings import FakeEmbeddings, WordEmbedder
from tests.support.executor_durable import Executor, ScriptedPipeline, executor, refused, settings

AWAY = errors.Unavailable("the rag service is away", retry_after_s=7)
LATE = errors.DeadlineExceeded("the vectors took too long")


@dataclass
class Stage:
    """An executor with two tenants' sessions, and the vectors that it gets."""

    executor: Executor
    embeddings: FakeEmbeddings
    mine: str = ""
    theirs: str = ""

    async def call(self, method: str, request: Any) -> Any:
        return await channels.unary(getattr(self.executor.memories, method), request, timeout_s=20)

    async def session(self, tenant: str = "t") -> str:
        made = await channels.unary(
            self.executor.sessions.CreateSession, run_pb.CreateSessionRequest(tenant_id=tenant), timeout_s=20
        )
        return made.session.session_id

    async def put(self, key: str = "food", value: Any = "likes noodles", **fields: Any) -> pb.PutMemoryResponse:
        data = value if isinstance(value, bytes) else orjson.dumps(value)
        values = {"tenant_id": "t", "session_id": self.mine, "key": key, "value": data, **fields}
        answer: pb.PutMemoryResponse = await self.call("PutMemory", pb.PutMemoryRequest(**values))
        return answer

    async def get(self, key: str = "food", **fields: Any) -> pb.Memory:
        values = {"tenant_id": "t", "session_id": self.mine, "key": key, **fields}
        return (await self.call("GetMemory", pb.GetMemoryRequest(**values))).memory

    async def delete(self, key: str = "food", **fields: Any) -> None:
        values = {"tenant_id": "t", "session_id": self.mine, "key": key, **fields}
        await self.call("DeleteMemory", pb.DeleteMemoryRequest(**values))

    async def listed(self, **fields: Any) -> pb.ListMemoriesResponse:
        values = {"tenant_id": "t", "session_id": self.mine, **fields}
        return await self.call("ListMemories", pb.ListMemoriesRequest(**values))

    async def search(self, query: str = "noodles", **fields: Any) -> pb.SearchMemoriesResponse:
        values = {"tenant_id": "t", "session_id": self.mine, "query": query, **fields}
        return await self.call("SearchMemories", pb.SearchMemoriesRequest(**values))

    async def found(self, query: str, **fields: Any) -> list[str]:
        return [one.memory.key for one in (await self.search(query, **fields)).memories]


@pytest.fixture
async def stage(postgres_url: str) -> AsyncIterator[Stage]:
    embeddings = FakeEmbeddings()
    config = settings(postgres_url, max_memories_per_session=3)
    async with executor(config, ScriptedPipeline(), embeddings=embeddings) as one:
        stage = Stage(one, embeddings)
        stage.mine, stage.theirs = await stage.session(), await stage.session("u")
        yield stage


async def test_a_memory_lives_and_its_revisions_count(stage: Stage) -> None:
    made = await stage.put(value={"likes": ["noodles"]}, metadata=b'{"by":"user"}')
    assert (made.created, made.memory.revision, made.memory.key) == (True, 1, "food")
    assert (made.memory.value, made.memory.metadata) == (b'{"likes":["noodles"]}', b'{"by":"user"}')
    assert made.memory.text == '{"likes":["noodles"]}'
    again = await stage.put(value="likes rice")
    assert (again.created, again.memory.revision, again.memory.text, again.memory.metadata) == (
        False, 2, "likes rice", b"{}",
    )  # fmt: skip
    found = await stage.get()
    assert found == again.memory
    assert found.create_time == made.memory.create_time
    assert found.update_time.ToNanoseconds() > found.create_time.ToNanoseconds()
    await stage.delete()
    assert (await refused(stage.get())).reason == "MEMORY_NOT_FOUND"
    assert (await refused(stage.delete())).reason == "MEMORY_NOT_FOUND"
    assert (await stage.put(expected_revision=0)).memory.revision == 1


@pytest.mark.parametrize(
    ("value", "text", "searched"),
    [
        ("plain", "", "plain"),
        ("plain", "other words", "other words"),
        ("", "", '""'),
        ("  ", "", '"  "'),
        ("a\x00b", "", "a\ufffdb"),
        (None, "", "null"),
        (5.5, "", "5.5"),
        ("长" * 9000, "", "长" * 8000),
        ("v", "文" * 8000, "文" * 8000),
    ],
)
async def test_what_is_searched_is_the_text_or_what_the_value_says(
    stage: Stage, value: Any, text: str, searched: str
) -> None:
    saved = (await stage.put(value=value, text=text)).memory
    assert (saved.text, orjson.loads(saved.value)) == (searched, value)
    assert stage.embeddings.calls == [[searched]]


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant_id": ""},
        {"key": ""},
        {"key": "a/b"},
        {"key": "a\n"},
        {"key": "a" * 129},
        {"value": b""},
        {"value": b"{"},
        {"value": b"\xff"},
        {"value": "x" * 64 * 1024},
        {"text": " "},
        {"text": "a\x00"},
        {"text": "x" * 8001},
        {"metadata": b"[]"},
        {"metadata": b"{"},
        {"metadata": orjson.dumps({"a": "x" * 16 * 1024})},
        {"expected_revision": -1},
    ],
    ids=str,
)
async def test_what_cannot_be_remembered_is_refused_with_its_place(stage: Stage, fields: dict[str, Any]) -> None:
    error = await refused(stage.put(**fields))
    assert isinstance(error, errors.InvalidArgument)
    assert [violation.field for violation in error.violations] == list(fields)
    assert not (await stage.listed()).memories
    assert not stage.embeddings.calls


@pytest.mark.parametrize(
    ("expected", "kind", "reason"),
    [
        (0, errors.AlreadyExists, "MEMORY_EXISTS"),
        (1, errors.Aborted, "MEMORY_CHANGED"),
        (9, errors.Aborted, "MEMORY_CHANGED"),
    ],
)
async def test_a_write_over_another_revision_is_refused(stage: Stage, expected: int, kind: Any, reason: str) -> None:
    await stage.put()
    await stage.put(value="likes rice")
    error = await refused(stage.put(value="lost", expected_revision=expected))
    assert (type(error), error.reason) == (kind, reason)
    if expected:
        assert (await refused(stage.delete(expected_revision=expected))).reason == reason
    assert (await stage.get()).text == "likes rice"
    assert (await stage.put(value="seen", expected_revision=2)).memory.revision == 3
    await stage.delete(expected_revision=3)


@pytest.mark.parametrize("expected", [0, 1])
async def test_of_two_writes_over_the_same_revision_one_wins(stage: Stage, expected: int) -> None:
    if expected:
        await stage.put()
    writes = [stage.put(value=f"writer {n}", expected_revision=expected) for n in range(8)]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    won = [answer.memory for answer in answers if isinstance(answer, pb.PutMemoryResponse)]
    assert len(won) == 1
    assert await stage.get() == won[0]


async def test_a_session_has_so_many_memories_and_may_always_replace_them(stage: Stage) -> None:
    for key in "abc":
        await stage.put(key)
    for expected in ({}, {"expected_revision": 0}):
        error = await refused(stage.put("d", **expected))
        assert (type(error), error.reason) == (errors.ResourceExhausted, "TOO_MANY_MEMORIES")
    assert (await stage.put("a")).memory.revision == 2
    assert isinstance(await refused(stage.put("b", expected_revision=0)), errors.AlreadyExists)
    other = await stage.session()
    assert (await stage.put("d", session_id=other)).created


async def test_the_limit_of_memories_holds_for_writes_of_one_moment(stage: Stage) -> None:
    answers = await asyncio.gather(*(stage.put(f"m{number}") for number in range(12)), return_exceptions=True)
    refusals = [answer for answer in answers if not isinstance(answer, pb.PutMemoryResponse)]
    assert len(refusals) == 9
    assert {type(refusal) for refusal in refusals} == {errors.ResourceExhausted}


async def test_memories_are_listed_by_key_page_by_page(stage: Stage) -> None:
    for key in ("b", "A:2", "a"):
        await stage.put(key)
    seen: list[str] = []
    token = ""
    while True:
        page = await stage.listed(page_size=2, page_token=token)
        seen += [one.key for one in page.memories]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["A:2", "a", "b"]
    for fields in ({"page_token": "!"}, {"page_size": 201}, {"page_token": "L2E"}):
        assert isinstance(await refused(stage.listed(**fields)), errors.InvalidArgument)


async def test_a_page_of_a_list_is_shorter_where_memories_are_large(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "MAX_LIST_BYTES", 70_000)
    for key in "abc":
        await stage.put(key, value="x" * 60_000, text="short")
    first = await stage.listed()
    second = await stage.listed(page_token=first.next_page_token)
    assert [[one.key for one in page.memories] for page in (first, second)] == [["a", "b"], ["c"]]
    assert not second.next_page_token


async def test_a_search_gives_the_nearest_first_and_no_more_than_asked_for(stage: Stage) -> None:
    await stage.put("exact", "noodles with beef")
    await stage.put("near", "noodles and other things entirely")
    await stage.put("far", "trains")
    answer = await stage.search("noodles with beef")
    assert [one.memory.key for one in answer.memories] == ["exact", "near", "far"]
    scores = [one.score for one in answer.memories]
    assert scores[0] == pytest.approx(1, abs=1e-5)
    assert scores == sorted(scores, reverse=True)
    assert answer.memories[0].memory == await stage.get("exact")
    assert answer.pending == 0
    assert await stage.found("noodles with beef", top_k=1) == ["exact"]
    await stage.put("far", "noodles with beef exactly")
    assert await stage.found("exactly") == ["far", "exact", "near"]


@pytest.mark.parametrize(
    "fields",
    [{"query": ""}, {"query": " "}, {"query": "a\x00"}, {"query": "x" * 8001}, {"top_k": -1}, {"top_k": 51}],
    ids=str,
)
async def test_a_search_for_nothing_is_refused(stage: Stage, fields: dict[str, Any]) -> None:
    error = await refused(stage.search(**fields))
    assert isinstance(error, errors.InvalidArgument)
    assert [violation.field for violation in error.violations] == list(fields)


async def test_a_session_that_remembers_nothing_finds_nothing(stage: Stage) -> None:
    assert await stage.search("anything") == pb.SearchMemoriesResponse()
    assert await stage.listed() == pb.ListMemoriesResponse()


@pytest.mark.parametrize("error", [AWAY, LATE, errors.ResourceExhausted("busy")], ids=lambda error: type(error).__name__)
async def test_what_was_written_while_no_vector_could_be_had_is_found_later(
    stage: Stage, error: errors.ServiceError
) -> None:
    stage.embeddings.error = error
    await stage.put("one", "noodles")
    assert (await stage.put("two", "rice")).created
    away = await refused(stage.search("noodles"))
    assert (type(away), away.reason) == (errors.Unavailable, "EMBEDDINGS_AWAY")
    assert away.retry_after_s == (7 if error is AWAY else 2)
    stage.embeddings.error = None
    answer = await stage.search("noodles")
    assert [one.memory.key for one in answer.memories] == ["one", "two"]
    assert answer.pending == 0
    before = len(stage.embeddings.calls)
    await stage.search("noodles")
    assert stage.embeddings.calls[before:] == [["noodles"]]
    assert (await stage.get("one")).revision == 1


async def test_a_search_reads_no_more_than_it_has_time_for_and_says_what_is_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memories, "EMBED_PENDING_CALLS", 1)
    monkeypatch.setattr(memories, "EMBED_CHARS", 10)
    stage.embeddings.error = AWAY
    for key in "abc":
        await stage.put(key, "noodles")
    stage.embeddings.error = None
    assert [(await stage.search()).pending for _ in range(3)] == [2, 1, 0]
    assert await stage.found("noodles") == ["a", "b", "c"]


async def test_a_service_that_goes_away_in_the_middle_of_a_search_leaves_what_can_be_compared(stage: Stage) -> None:
    await stage.put("read", "noodles")
    stage.embeddings.error = AWAY
    await stage.put("unread", "noodles")
    stage.embeddings.error = None
    whole = stage.embeddings.embed

    async def once(texts: Any, *, timeout_s: float) -> memories.Vectors:
        vectors = await whole(texts, timeout_s=timeout_s)
        stage.embeddings.error = AWAY
        return vectors

    stage.embeddings.embed = once  # type: ignore[method-assign]
    answer = await stage.search()
    assert ([one.memory.key for one in answer.memories], answer.pending) == (["read"], 1)


async def test_another_model_reads_all_memories_anew(stage: Stage) -> None:
    await stage.put("a", "noodles")
    stage.embeddings.embedder = WordEmbedder(name="other")
    stage.embeddings.calls.clear()
    assert await stage.found("rice") == ["a"]
    assert stage.embeddings.calls == [["rice"], ["noodles"]]


async def test_a_memory_that_changed_while_it_was_read_keeps_no_stale_vector(stage: Stage) -> None:
    stage.embeddings.error = AWAY
    await stage.put("a", "noodles")
    stage.embeddings.error = None
    whole = stage.embeddings.embed

    async def overtaken(texts: Any, *, timeout_s: float) -> memories.Vectors:
        vectors = await whole(texts, timeout_s=timeout_s)
        if texts == ["noodles"]:
            stage.embeddings.embed = whole  # type: ignore[method-assign]
            await stage.put("a", "rice")
        return vectors

    stage.embeddings.embed = overtaken  # type: ignore[method-assign]
    answer = await stage.search("rice")
    assert [(one.memory.text, round(one.score, 3)) for one in answer.memories] == [("rice", 1.0)]


async def test_another_tenants_session_does_not_exist(stage: Stage) -> None:
    await stage.put("mine", "noodles")
    await stage.put("theirs", "noodles", tenant_id="u", session_id=stage.theirs)
    foreign = {"tenant_id": "u", "session_id": stage.mine}
    for session_id in (stage.mine, "no id", "00000000-0000-7000-8000-000000000000"):
        fields = {**foreign, "session_id": session_id}
        for attempt in (
            stage.get("mine", **fields),
            stage.put("mine", "stolen", **fields),
            stage.put("mine", "stolen", expected_revision=0, **fields),
            stage.put("mine", "stolen", expected_revision=1, **fields),
            stage.put("new", "planted", **fields),
            stage.delete("mine", **fields),
            stage.delete("mine", expected_revision=1, **fields),
            stage.listed(**fields),
            stage.search("noodles", **fields),
        ):
            error = await refused(attempt)
            assert (type(error), error.reason) == (errors.NotFound, "SESSION_NOT_FOUND")
    assert await stage.found("noodles") == ["mine"]
    assert await stage.found("noodles", tenant_id="u", session_id=stage.theirs) == ["theirs"]
    assert (await stage.get("mine")).text == "noodles"
    assert [one.key for one in (await stage.listed()).memories] == ["mine"]


async def test_another_session_of_the_same_tenant_remembers_for_itself(stage: Stage) -> None:
    other = await stage.session()
    await stage.put("food", "noodles")
    await stage.put("food", "noodles too", session_id=other)
    assert (await stage.get()).text == "noodles"
    assert [one.memory.text for one in (await stage.search()).memories] == ["noodles"]


async def test_a_deleted_session_takes_its_memories_along(stage: Stage) -> None:
    await stage.put()
    request = run_pb.DeleteSessionRequest(tenant_id="t", session_id=stage.mine)
    await channels.unary(stage.executor.sessions.DeleteSession, request, timeout_s=20)
    for attempt in (stage.get(), stage.put(), stage.listed(), stage.search()):
        assert (await refused(attempt)).reason == "SESSION_NOT_FOUND"


async def test_a_write_to_a_session_that_is_being_deleted_is_refused_or_goes_with_it(stage: Stage) -> None:
    for _ in range(5):
        session_id = await stage.session()
        delete = run_pb.DeleteSessionRequest(tenant_id="t", session_id=session_id)
        answers = await asyncio.gather(
            stage.put(session_id=session_id),
            channels.unary(stage.executor.sessions.DeleteSession, delete, timeout_s=20),
            stage.put("other", session_id=session_id),
            return_exceptions=True,
        )
        assert not isinstance(answers[1], Exception)
        for answer in (answers[0], answers[2]):
            assert isinstance(answer, (pb.PutMemoryResponse, errors.NotFound)), answer
        assert (await refused(stage.listed(session_id=session_id))).reason == "SESSION_NOT_FOUND"
