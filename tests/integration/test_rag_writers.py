"""One writer per workspace, whatever the processes, and what is left when one of them dies or the database goes away."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import pytest
from headrace.rag.v1 import rag_pb2
from headrace_rag import metrics
from headrace_runtime import channels, errors

from tests.support import outage, rag
from tests.support.models import Scripted, ScriptedModels
from tests.support.rag_server import by_week

WEEKS = 24
TEXT = "\n\n".join(f"In week {week} the depot fed the mill with {week} carts of grain." for week in range(WEEKS))
READY = rag_pb2.DOCUMENT_STATE_READY
PROCESSING = rag_pb2.DOCUMENT_STATE_PROCESSING


class Running(NamedTuple):
    """A service in a process of its own."""

    service: rag.Rag
    process: asyncio.subprocess.Process


@asynccontextmanager
async def in_a_process(postgres_url: str) -> AsyncIterator[Running]:
    arguments = (sys.executable, "-m", "tests.support.rag_server", postgres_url)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int((await asyncio.wait_for(process.stdout.readline(), 60)).split()[-1])
        channel = channels.open_channel(f"127.0.0.1:{port}")
        yield Running(rag.Rag(channel), process)
        await channel.close()
    finally:
        process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def database(postgres_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(postgres_url)
    try:
        yield connection
    finally:
        await connection.close()


async def learnt(postgres_url: str, workspace: str) -> tuple[int, int, int]:
    """How many entities and relations a workspace has, and of how many chunks the depot is known."""
    async with database(postgres_url) as connection:
        nodes = await connection.fetchval("SELECT count(*) FROM lightrag_graph_nodes WHERE workspace = $1", workspace)
        edges = await connection.fetchval("SELECT count(*) FROM lightrag_graph_edges WHERE workspace = $1", workspace)
        depot = await connection.fetchval(
            "SELECT count FROM lightrag_entity_chunks WHERE workspace = $1 AND id = 'Depot'", workspace
        )
    return nodes, edges, depot


async def test_documents_of_one_workspace_wait_for_each_other_and_none_is_lost(postgres_url: str) -> None:
    async with in_a_process(postgres_url) as one, in_a_process(postgres_url) as two:
        calls = [
            running.service.ingest(f"{name}-{number}", f"In week {number} the depot fed the mill of {name}.", workspace="w")
            for name, running in (("one", one), ("two", two))
            for number in range(6)
        ]
        answers = await asyncio.gather(*calls)

    assert {answer.document.state for answer in answers} == {READY}
    assert await learnt(postgres_url, "acme~w") == (2 + 6, 6, 12)


KILLS = 5
"""A reader that was done before its kill arrived shows nothing: then another one is killed."""
MOMENTS = {
    "noted": "SELECT count(*) FROM rag_documents WHERE state = 'processing' AND 'acme~' || workspace = $1",
    "cut": "SELECT count(*) FROM lightrag_doc_chunks WHERE workspace = $1",
    "asked": "SELECT greatest(count(*) - 3, 0) FROM lightrag_llm_cache WHERE workspace = $1",
    "merged": "SELECT greatest(count(*) - 2, 0) FROM lightrag_graph_nodes WHERE workspace = $1",
    "related": "SELECT count(*) FROM lightrag_graph_edges WHERE workspace = $1",
}


async def kill_reader(postgres_url: str, workspace: str, moment: str) -> bool:
    """Kill a process while it reads a document, at a moment; whether its caller lost the answer by it."""
    async with in_a_process(postgres_url) as doomed, database(postgres_url) as connection:
        call = asyncio.create_task(doomed.service.ingest("notes", TEXT, workspace=workspace))
        async with asyncio.timeout(60):
            while not call.done() and not await connection.fetchval(MOMENTS[moment], f"acme~{workspace}"):
                await asyncio.sleep(0)
        doomed.process.kill()
        (answer,) = await asyncio.gather(call, return_exceptions=True)
    return isinstance(answer, errors.Unavailable)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_document_whose_reader_is_killed_is_read_to_its_end_by_another(postgres_url: str, moment: str) -> None:
    models = ScriptedModels(otherwise=by_week)
    async with rag.running(postgres_url, models, chunk_tokens=60) as service:
        for workspace in (f"killed{attempt}" for attempt in range(KILLS)):
            lost = await kill_reader(postgres_url, workspace, moment)
            interrupted = await service.document("notes", workspace=workspace)
            if lost and interrupted.state == PROCESSING:
                break
        else:
            pytest.fail(f"{KILLS} kills came too late to show anything")
        finished = (await service.ingest("notes", TEXT, workspace=workspace)).document
        found = await service.search("carts in week 11", workspace=workspace, top_k=3)

    assert finished.state == READY
    assert await learnt(postgres_url, f"acme~{workspace}") == (2 + WEEKS, WEEKS, finished.chunks)
    assert any("week 11 " in chunk.text for chunk in found.chunks)


async def test_what_a_killed_reader_left_is_said_to_have_failed_once_another_document_is_written(postgres_url: str) -> None:
    async with in_a_process(postgres_url) as doomed, database(postgres_url) as connection:
        call = asyncio.create_task(doomed.service.ingest("notes", TEXT))
        async with asyncio.timeout(30):
            while not await connection.fetchval(MOMENTS["noted"], "acme~default"):
                await asyncio.sleep(0)
        doomed.process.kill()
        with pytest.raises(errors.Unavailable):
            await call

    async with rag.running(postgres_url, ScriptedModels(otherwise=by_week)) as service:
        await service.ingest("other", "In week 1 the depot fed the mill.")
        left = await service.document("notes")

    assert left.state == rag_pb2.DOCUMENT_STATE_FAILED
    assert "interrupted" in left.error


async def test_a_writer_who_waits_in_vain_is_told_when_to_come_back(postgres_url: str) -> None:
    gate = asyncio.Event()
    models = ScriptedModels(answers=[Scripted(pieces=("{", "}"), gate=gate)], otherwise=by_week)
    async with rag.running(postgres_url, models) as first, rag.running(postgres_url, models) as second:
        slow = asyncio.create_task(first.ingest("slow", "In week 1 the depot fed the mill."))
        while not models.requests:
            await asyncio.sleep(0.01)
        waiting = [service.ingest(f"late-{at}", "Late.", timeout_s=2) for at, service in enumerate((first, second))]
        refused = await asyncio.gather(*waiting, return_exceptions=True)
        elsewhere = await second.ingest("late", "In week 2 the depot fed the mill.", workspace="other")
        late = await second.document("late-1")
        gate.set()
        answer = await slow

    for error in refused:
        assert isinstance(error, errors.Aborted)
        assert (error.reason, error.retry_after_s) == ("WORKSPACE_BUSY", 2.0)
    assert late.state == rag_pb2.DOCUMENT_STATE_FAILED
    assert {answer.document.state, elsewhere.document.state} == {READY}


async def test_more_writers_than_may_wait_are_refused(postgres_url: str) -> None:
    gate = asyncio.Event()
    models = ScriptedModels(otherwise=Scripted(pieces=("{", "}"), gate=gate))
    async with rag.running(postgres_url, models, writers=1, waiting_writers=1) as service:
        calls = [asyncio.create_task(service.ingest(name, "Text.", workspace=name)) for name in ("a", "b")]
        async with asyncio.timeout(20), database(postgres_url) as connection:
            while await connection.fetchval("SELECT count(*) FROM rag_documents") < 2:
                await asyncio.sleep(0.01)
        with pytest.raises(errors.ResourceExhausted) as caught:
            await service.ingest("c", "Text.", workspace="c")
        gate.set()
        answers = await asyncio.gather(*calls)

    assert caught.value.reason == "TOO_MANY_WRITERS"
    assert {answer.document.state for answer in answers} == {READY}


async def test_a_writer_that_loses_its_lock_keeps_nothing_and_the_document_can_be_read_again(postgres_url: str) -> None:
    failures = metrics.INGESTS.labels("unavailable")._value.get()
    gate = asyncio.Event()
    models = ScriptedModels(answers=[Scripted(pieces=("{", "}"), gate=gate)], otherwise=by_week)
    async with rag.running(postgres_url, models) as service, database(postgres_url) as connection:
        call = asyncio.create_task(service.ingest("notes", "In week 1 the depot fed the mill."))
        while not models.requests:
            await asyncio.sleep(0.01)
        killed = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'headrace-rag-writer'"
        )
        gate.set()
        answer = await call

    assert killed == 1
    assert answer.document.state == READY, "the channel tries again what is UNAVAILABLE"
    assert metrics.INGESTS.labels("unavailable")._value.get() == failures + 1


async def test_a_database_that_comes_back_is_used_again(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=by_week)
    async with outage.way_to(postgres_url) as (url, way), rag.running(url, models) as service:
        await service.ingest("notes", "In week 1 the depot fed the mill.")
        await service.search("mill", mode=rag_pb2.SEARCH_MODE_MIX)
        await way.cut()
        refused = [
            service.search("grain", timeout_s=8),
            service.search("grain", mode=rag_pb2.SEARCH_MODE_MIX, timeout_s=8),
            service.document("notes"),
            service.ingest("more", "In week 2 the depot fed the mill.", timeout_s=8),
        ]
        for call in refused:
            with pytest.raises(errors.Unavailable) as caught:
                await call
            assert caught.value.reason == "STORE_AWAY"
        await way.mend()
        found = await service.search("mill", mode=rag_pb2.SEARCH_MODE_MIX)
        more = await service.ingest("more", "In week 2 the depot fed the mill.")

    assert found.chunks
    assert more.document.state == READY


async def test_a_database_that_goes_away_while_a_document_is_read_fails_it_and_it_is_read_later(postgres_url: str) -> None:
    gate = asyncio.Event()
    models = ScriptedModels(answers=[Scripted(pieces=("{", "}"), gate=gate)], otherwise=by_week)
    async with outage.way_to(postgres_url) as (url, way), rag.running(url, models) as service:
        call = asyncio.create_task(service.ingest("notes", "In week 1 the depot fed the mill."))
        while not models.requests:
            await asyncio.sleep(0.01)
        await way.cut()
        gate.set()
        with pytest.raises(errors.Unavailable):
            await call
        await way.mend()
        again = await service.ingest("notes", "In week 1 the depot fed the mill.")

    assert again.document.state == READY


async def test_a_service_waits_for_a_database_that_still_starts(postgres_url: str) -> None:
    async with outage.way_to(postgres_url) as (url, way):
        await way.cut()
        mended = asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(way.mend()))
        async with rag.running(url, ScriptedModels(otherwise=by_week)) as service:
            assert (await service.workspace()).documents == 0
        mended.cancel()


async def test_a_service_whose_database_never_comes_does_not_start(postgres_url: str) -> None:
    async with outage.way_to(postgres_url) as (url, way):
        await way.cut()
        with pytest.raises(errors.Unavailable):
            async with rag.running(url, ScriptedModels(), start_timeout_s=1):
                raise AssertionError
