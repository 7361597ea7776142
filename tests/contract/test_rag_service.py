"""RagService against its proto, through a real channel; what it stands on is in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace.rag.v1 import rag_pb2, rag_pb2_grpc
from headrace_llm.errors import Throttled
from headrace_rag import app, metrics, searching, writing
from headrace_rag.embedding import Embeddings, Limits
from headrace_rag.errors import StoreAway
from headrace_rag.model import Entity, Found, Keywords, Passage, Relation
from headrace_rag.servicer import RagServicer
from headrace_runtime import channels, errors, serve

from tests.support.embeddings import WordEmbedder, vector
from tests.support.executor_durable import eventually, refused
from tests.support.models import ScriptedModels
from tests.support.rag import Rag
from tests.support.rag_doubles import MemoryDocuments, MemoryIndex, MemoryLock

READY, FAILED = rag_pb2.DOCUMENT_STATE_READY, rag_pb2.DOCUMENT_STATE_FAILED


@dataclass
class Stage:
    """The service over doubles that a test may look at."""

    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    index: MemoryIndex = field(default_factory=MemoryIndex)
    models: ScriptedModels = field(default_factory=ScriptedModels)
    embedder: WordEmbedder = field(default_factory=WordEmbedder)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rag]:
        reader = searching.Reader(self.index, self.documents, self.models, searching.Limits(10, 2))
        writer = writing.Writer(self.index, self.documents, MemoryLock(), writing.Limits(2, 2, 60))
        servicer = RagServicer(reader, writer, Embeddings(self.embedder, Limits(2, 10)))
        endpoint = serve.Endpoint(app.SERVICE, servicer, rag_pb2_grpc.add_RagServiceServicer_to_server)
        server, _, port = await serve.start(serve.Service((endpoint,)), "127.0.0.1:0")
        channel = channels.open_channel(f"127.0.0.1:{port}")
        try:
            yield Rag(channel)
        finally:
            await channel.close()
            await server.stop(None)


async def test_a_document_comes_back_as_the_contract_says() -> None:
    async with Stage().running() as service:
        answer = (await service.ingest("notes.md", "Grain and water.", title=" On \n mills ")).document
        same = await service.document("notes.md")

    assert answer == same
    assert (answer.document_id, answer.workspace, answer.title) == ("notes.md", "default", "On mills")
    assert (answer.state, answer.error, answer.chunks, answer.characters) == (READY, "", 1, 16)
    assert answer.HasField("create_time")
    assert answer.HasField("update_time")


async def test_a_search_gives_citations_with_scores_where_there_are_any() -> None:
    stage = Stage(models=ScriptedModels(otherwise='{"themes": ["supply"], "names": ["mill"]}'))
    stage.index.graph = Found(
        [Passage("notes", "Grain."), Passage("unknown", "Secret.")],
        [Entity("Mill", "artifact", "Grinds.")],
        [Relation("Depot", "Mill", "supply", "Supplies.")],
    )
    async with stage.running() as service:
        await service.ingest("notes", "Grain.", title="Notes")
        naive = await service.search("Grain")
        mixed = await service.search("Grain", mode=rag_pb2.SEARCH_MODE_MIX)

    assert list(naive.chunks) == [rag_pb2.Chunk(document_id="notes", title="notes", text="Grain.", score=0.5)]
    assert list(mixed.chunks) == [rag_pb2.Chunk(document_id="notes", title="Notes", text="Grain.")]
    assert not mixed.chunks[0].HasField("score")
    assert list(mixed.entities) == [rag_pb2.Entity(name="Mill", kind="artifact", description="Grinds.")]
    assert list(mixed.relations) == [
        rag_pb2.Relation(source="Depot", target="Mill", keywords="supply", description="Supplies.")
    ]
    assert stage.index.keywords == [Keywords(("supply",), ("mill",))]
    assert (naive.usage.llm_calls, mixed.usage.llm_calls) == (0, 1)


async def test_pages_end_without_a_token() -> None:
    async with Stage().running() as service:
        for name in "abc":
            await service.ingest(name, name)
        first = await service.documents(page_size=2)
        last = await service.documents(page_size=2, page_token=first.next_page_token)
        whole = await service.documents()

    assert [one.document_id for one in (*first.documents, *last.documents)] == ["c", "b", "a"]
    assert first.next_page_token
    assert not last.next_page_token
    assert not whole.next_page_token


BAD: list[tuple[str, dict[str, Any], list[str]]] = [
    ("Ingest", {"document_id": "a", "text": "t"}, ["tenant_id"]),
    ("Ingest", {"tenant_id": "a", "workspace": "ä", "text": ""}, ["workspace", "document_id", "text"]),
    ("Ingest", {"tenant_id": "a", "document_id": "a/b", "text": "t", "title": "x" * 513}, ["document_id", "title"]),
    ("Ingest", {"tenant_id": "a", "document_id": "a", "text": "x" * (2 * 1024 * 1024 + 1)}, ["text"]),
    ("Search", {"tenant_id": "a", "query": " "}, ["query"]),
    ("Search", {"tenant_id": "a", "query": "x" * 8193, "top_k": 51, "mode": 9}, ["query", "top_k", "mode"]),
    ("Search", {"tenant_id": "a", "query": "x", "top_k": -1}, ["top_k"]),
    ("GetWorkspace", {"tenant_id": "a b"}, ["tenant_id"]),
    ("GetDocument", {"tenant_id": "a"}, ["document_id"]),
    ("ListDocuments", {"tenant_id": "a", "page_size": 201}, ["page_size"]),
    ("ListDocuments", {"tenant_id": "a", "page_token": "???"}, ["page_token"]),
    ("DeleteDocument", {"tenant_id": "a", "document_id": "x" * 129}, ["document_id"]),
]


@pytest.mark.parametrize(("method", "fields", "wrong"), BAD, ids=[f"{m}-{'-'.join(w)}" for m, _, w in BAD])
async def test_a_wrong_request_is_refused_with_every_wrong_field(
    method: str, fields: dict[str, Any], wrong: list[str]
) -> None:
    async with Stage().running() as service:
        request = getattr(rag_pb2, f"{method}Request")(**fields)
        with pytest.raises(errors.InvalidArgument) as caught:
            await channels.unary(getattr(service.stub, method), request, timeout_s=5)

    assert [violation.field for violation in caught.value.violations] == wrong


async def test_what_is_not_there_is_not_found() -> None:
    async with Stage().running() as service:
        calls = (
            service.search("x", workspace="never"),
            service.workspace("never"),
            service.document("never"),
            service.delete("never"),
        )
        for call in calls:
            with pytest.raises(errors.NotFound):
                await call


async def test_the_models_quota_is_told_with_the_time_to_come_back() -> None:
    stage = Stage()
    stage.index.error = Throttled("the provider asks to slow down", retry_after_s=7.5)
    async with stage.running() as service:
        with pytest.raises(errors.ResourceExhausted) as caught:
            await service.ingest("a", "text")
        document = await service.document("a")

    assert (caught.value.reason, caught.value.retry_after_s) == ("PROVIDER_THROTTLED", 7.5)
    assert (document.state, document.error) == (FAILED, "the provider asks to slow down")


async def test_a_database_that_is_away_is_unavailable() -> None:
    stage = Stage()
    stage.index.error = StoreAway()
    async with stage.running() as service:
        with pytest.raises(errors.Unavailable) as caught:
            await service.ingest("a", "text")

    assert (caught.value.reason, caught.value.retry_after_s) == ("STORE_AWAY", 1.0)


async def test_texts_have_vectors_in_their_order_and_a_name() -> None:
    async with Stage().running() as service:
        answer = await service.embed("grain mill", "water", "grain")
    assert answer.model == "words"
    found = [list(one.values) for one in answer.embeddings]
    assert found == [pytest.approx(vector(text), abs=1e-6) for text in ("grain mill", "water", "grain")]


@pytest.mark.parametrize(
    "texts", [(), ("a", ""), ("a" * 8193,), ("a",) * 33, ("a" * 8192, "a" * 8192, "a")], ids=lambda texts: str(len(texts))
)
async def test_no_more_texts_are_embedded_than_are_allowed(texts: tuple[str, ...]) -> None:
    stage = Stage()
    async with stage.running() as service:
        error = await refused(service.embed(*texts))
    assert isinstance(error, errors.InvalidArgument)
    assert error.violations[0].field.startswith("texts")
    assert not stage.embedder.texts


async def test_calls_for_vectors_wait_in_no_longer_line_than_allowed_and_no_longer_than_their_deadline() -> None:
    stage = Stage(embedder=WordEmbedder(gate=asyncio.Event()))
    assert stage.embedder.gate is not None
    async with stage.running() as service, asyncio.TaskGroup() as group:
        waiting = [group.create_task(service.embed("grain")) for _ in range(2)]
        await eventually(lambda: metrics.EMBEDDING._value.get() == 2)
        error = await refused(service.embed("grain"))
        assert (type(error), error.reason) == (errors.ResourceExhausted, "TOO_MANY_EMBEDS")
        assert error.retry_after_s
        stage.embedder.gate.set()
        assert [len((await one).embeddings) for one in waiting] == [1, 1]
        stage.embedder.gate = asyncio.Event()
        assert isinstance(await refused(service.embed("grain", timeout_s=0.2)), errors.DeadlineExceeded)
        stage.embedder.gate = None
        assert (await service.embed("grain")).embeddings
