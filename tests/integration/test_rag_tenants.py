"""No tenant reads another's documents, and many tenants in one vector index do not hide each other's."""

import os
import random
from pathlib import Path

import asyncpg
import pytest
from headrace.rag.v1 import rag_pb2
from headrace_rag.adapters.lightrag_index import library
from headrace_runtime import errors

from tests.support import rag
from tests.support.models import ScriptedModels

MODES = (
    rag_pb2.SEARCH_MODE_NAIVE,
    rag_pb2.SEARCH_MODE_LOCAL,
    rag_pb2.SEARCH_MODE_GLOBAL,
    rag_pb2.SEARCH_MODE_HYBRID,
    rag_pb2.SEARCH_MODE_MIX,
)
TENANTS, CHUNKS, TOP_K = 24, 60, 20


async def test_two_tenants_with_the_same_names_see_their_own_only(postgres_url: str) -> None:
    async with rag.running(postgres_url, ScriptedModels(otherwise=rag.obedient)) as service:
        a, b = service.of("a"), service.of("b")
        await a.ingest("plan", "The depot's code word is heron.", workspace="w")
        await b.ingest("plan", "The depot's code word is otter.", workspace="w")
        texts = {
            tenant.tenant: {
                chunk.text
                for mode in MODES
                for chunk in (await tenant.search("what is the code word?", workspace="w", mode=mode, top_k=50)).chunks
            }
            for tenant in (a, b)
        }
        await a.delete("plan", workspace="w")
        left = await b.search("code word", workspace="w", mode=rag_pb2.SEARCH_MODE_MIX)
        with pytest.raises(errors.NotFound):
            await a.document("plan", workspace="w")
        with pytest.raises(errors.NotFound):
            await service.of("c").search("code word", workspace="w")

    assert texts == {"a": {"The depot's code word is heron."}, "b": {"The depot's code word is otter."}}
    assert [chunk.text for chunk in left.chunks] == ["The depot's code word is otter."]
    assert left.entities


@pytest.mark.parametrize("exact_chunks", [10_000, 0], ids=["exactly", "by the index"])
async def test_each_of_many_tenants_gets_all_the_rows_that_it_asks_for(postgres_url: str, exact_chunks: int) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        await service.of("t0").ingest("seed", "A seed.")
    await _fill(postgres_url)
    async with rag.running(postgres_url, models, min_score=-1, exact_chunks=exact_chunks) as service:
        for number in range(0, TENANTS, 5):
            tenant = service.of(f"t{number}")
            naive = await tenant.search("anything at all", top_k=TOP_K)
            mixed = await tenant.search("anything at all", top_k=TOP_K, mode=rag_pb2.SEARCH_MODE_MIX)
            assert len(naive.chunks) == TOP_K
            assert all(chunk.text.startswith((f"t{number} ", "A seed")) for chunk in (*naive.chunks, *mixed.chunks))
            assert [chunk.score for chunk in naive.chunks] == sorted((c.score for c in naive.chunks), reverse=True)
            assert len(mixed.chunks) == TOP_K


async def test_a_shared_workspace_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_WORKSPACE", "everyone")
    with pytest.raises(library.ForbiddenVariable):
        async with rag.running(postgres_url, ScriptedModels()):
            raise AssertionError


async def test_files_of_the_working_folder_have_no_say(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("ENTITY_TYPES=[]\nPOSTGRES_WORKSPACE=everyone\n")
    (tmp_path / "config.ini").write_text("[postgres]\nhost = nowhere.invalid\nmax_connections = 500\n")
    monkeypatch.chdir(tmp_path)
    async with rag.running(postgres_url, ScriptedModels(otherwise=rag.obedient)) as service:
        await service.ingest("plan", "The depot's code word is heron.")
        assert (await service.search("code word")).chunks
        assert not os.environ.get("POSTGRES_WORKSPACE")
    assert "POSTGRES_PASSWORD" not in os.environ


async def test_a_workspace_in_a_config_file_is_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.ini").write_text("[postgres]\nworkspace = everyone\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(library.ForbiddenVariable):
        async with rag.running(postgres_url, ScriptedModels()):
            raise AssertionError


async def test_more_workspaces_than_are_kept_open_all_answer(postgres_url: str) -> None:
    async with rag.running(postgres_url, ScriptedModels(otherwise=rag.obedient), workspaces_open=2) as service:
        for number in range(6):
            await service.ingest("plan", f"The code word of {number} is heron.", workspace=f"w{number}")
        for number in (0, 5, 1, 0):
            found = await service.search("code word", workspace=f"w{number}", mode=rag_pb2.SEARCH_MODE_MIX)
            assert [chunk.text for chunk in found.chunks] == [f"The code word of {number} is heron."]
            assert found.entities


async def _fill(postgres_url: str) -> None:
    """Chunks of one document for each tenant, with vectors of chance, straight into the tables."""
    dice = random.Random(7)  # the same rows in every run
    connection = await asyncpg.connect(postgres_url)
    vectors = await connection.fetchval("SELECT vectors FROM rag_documents LIMIT 1")
    table = await connection.fetchval("SELECT tablename FROM pg_tables WHERE tablename LIKE 'lightrag_vdb_chunks_%'")
    for number in range(TENANTS):
        tenant = f"t{number}"
        await connection.execute("INSERT INTO rag_workspaces VALUES ($1, 'default') ON CONFLICT DO NOTHING", tenant)
        await connection.execute(
            """INSERT INTO rag_documents
               (tenant_id, workspace, document_id, title, state, characters, chunks, digest, vectors)
               VALUES ($1, 'default', 'many', 'Many', 'ready', 1, $2, 'x', $3)""",
            tenant,
            CHUNKS,
            vectors,
        )
        rows = [
            (
                f"d-many-chunk-{at:03}",
                f"{tenant}~default",
                at,
                f"{tenant} {at}",
                str([dice.gauss(0, 1) for _ in range(384)]),
            )
            for at in range(CHUNKS)
        ]
        await connection.executemany(
            f"""INSERT INTO {table}
                (id, workspace, full_doc_id, chunk_order_index, tokens, content, file_path, content_vector)
                VALUES ($1, $2, 'd-many', $3, 3, $4, 'd-many', $5::text::vector)""",
            rows,
        )
    await connection.execute("ANALYZE")
    # With so few rows the planner would sort them all; with many it takes the index of vectors, as it does here.
    await connection.execute(f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET enable_sort = off")
    await connection.close()
