"""Documents go in once and are found again: the whole service on a real Postgres, with real embeddings."""

import asyncpg
import pytest
from headrace.rag.v1 import rag_pb2
from headrace_llm.usage import Usage
from headrace_runtime import errors

from tests.support import rag
from tests.support.models import ScriptedModels

MILL = "# The mill\n\nThe depot feeds the mill with grain from the valley.\n\nThe river turns its wheel."
COOK = "Simmer the onions slowly in butter until they are golden, then add stock for the soup."
READY = rag_pb2.DOCUMENT_STATE_READY


async def test_a_document_is_read_once_and_cited(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        first = await service.ingest("mill.md", MILL, title="On mills")
        calls = len(models.requests)
        again = await service.ingest("mill.md", MILL, title="On mills")
        await service.ingest("soup", COOK)
        found = await service.search("what drives the water wheel?", top_k=1)

    assert (first.document.state, first.document.chunks, first.document.characters) == (READY, 1, len(MILL))
    assert Usage.from_proto(first.usage).total.llm_calls == 1
    assert calls == 1
    assert again.document == first.document
    assert not again.usage.models
    (chunk,) = found.chunks
    assert (chunk.document_id, chunk.title) == ("mill.md", "On mills")
    assert "river" in chunk.text
    assert 0.1 < chunk.score <= 1


async def test_a_service_that_starts_anew_knows_what_it_read(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        await service.ingest("mill", MILL)
    calls = len(models.requests)

    async with rag.running(postgres_url, models) as service:
        await service.ingest("mill", MILL)
        found = await service.search("river")

    assert len(models.requests) == calls
    assert [chunk.document_id for chunk in found.chunks] == ["mill"]
    assert [chunk.title for chunk in found.chunks] == ["mill"]


async def test_one_text_under_two_ids_is_two_documents(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        for name in ("a", "b"):
            answer = await service.ingest(name, MILL)
            assert answer.document.state == READY
        calls = len(models.requests)
        both = await service.search("river", top_k=10)
        await service.delete("a")
        left = await service.search("river", top_k=10)
        graph = await service.search("depot", mode=rag_pb2.SEARCH_MODE_LOCAL)

    assert {chunk.document_id for chunk in both.chunks} == {"a", "b"}
    assert {chunk.document_id for chunk in left.chunks} == {"b"}
    assert {entity.name for entity in graph.entities} == {"Depot", "Mill"}
    assert calls == 1, "what the model said about a passage holds for the same passage elsewhere"


async def test_another_text_takes_the_place_of_the_old_one(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        before = (await service.ingest("notes", MILL, title="Old")).document
        after = (await service.ingest("notes", COOK, title="New")).document
        found = await service.search("river and mill wheel", top_k=10)

    assert (after.state, after.title, after.characters) == (READY, "New", len(COOK))
    assert after.create_time.ToDatetime() == before.create_time.ToDatetime()
    assert all("river" not in chunk.text for chunk in found.chunks)
    assert await _stored(postgres_url, "river") == 0


async def test_a_deleted_document_leaves_nothing(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        await service.ingest("mill", MILL)
        await service.delete("mill")

        with pytest.raises(errors.NotFound):
            await service.document("mill")
        with pytest.raises(errors.NotFound):
            await service.delete("mill")
        assert not (await service.search("river")).chunks
        assert not (await service.search("depot", mode=rag_pb2.SEARCH_MODE_MIX)).entities
        assert (await service.workspace()).documents == 0
        again = await service.ingest("mill", MILL)

    assert again.document.state == READY


async def test_pages_list_every_document_once_the_newest_first(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        for name in "abcde":
            await service.ingest(name, f"Text of {name}.", workspace="w")
        pages = [await service.documents(workspace="w", page_size=2)]
        while pages[-1].next_page_token:
            pages.append(await service.documents(workspace="w", page_size=2, page_token=pages[-1].next_page_token))

    assert [[one.document_id for one in page.documents] for page in pages] == [["e", "d"], ["c", "b"], ["a"]]


async def test_the_default_workspace_is_there_and_others_only_once_written(postgres_url: str) -> None:
    async with rag.running(postgres_url, ScriptedModels(otherwise=rag.obedient)) as service:
        assert (await service.workspace()).workspace == "default"
        assert not (await service.search("anything")).chunks
        for call in (service.workspace("other"), service.search("anything", workspace="other")):
            with pytest.raises(errors.NotFound):
                await call
        await service.ingest("mill", MILL, workspace="other")
        assert (await service.workspace("other")).documents == 1


async def test_a_long_text_is_cut_and_each_part_is_found(postgres_url: str) -> None:
    topics = ("The telescope observed a distant galaxy.", "Bread dough must rise overnight.", "Glaciers carve the valleys.")
    text = "\n\n".join(" ".join([topic] * 20) for topic in topics)
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models, chunk_tokens=200) as service:
        document = (await service.ingest("long", text)).document
        found = [await service.search(question, top_k=1) for question in ("astronomy", "baking", "ice and mountains")]

    assert document.chunks == len(models.requests) >= 3
    assert [next(t for t in topics if t in one.chunks[0].text) for one in found] == list(topics)
    assert all(len(one.chunks[0].text) < 2000 for one in found)


async def test_documents_read_with_other_embeddings_are_not_compared(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        await service.ingest("mill", MILL)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("UPDATE rag_documents SET vectors = 'older'")
    await connection.close()

    async with rag.running(postgres_url, models) as service:
        stale = await service.document("mill")
        nothing = await service.search("river")
        again = await service.ingest("mill", MILL)
        found = await service.search("river")

    assert stale.state == rag_pb2.DOCUMENT_STATE_FAILED
    assert "embeddings" in stale.error
    assert not nothing.chunks
    assert again.document.state == READY
    assert found.chunks


async def _stored(postgres_url: str, word: str) -> int:
    """In how many rows of any table a word stands."""
    connection = await asyncpg.connect(postgres_url)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    counts = [
        await connection.fetchval(f'SELECT count(*) FROM "{table[0]}" t WHERE t::text ILIKE $1', f"%{word}%")
        for table in tables
    ]
    await connection.close()
    return sum(counts)
