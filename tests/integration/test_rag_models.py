"""What becomes of documents and searches when the model fails, refuses or talks rubbish."""

import asyncio
import json

import pytest
from headrace.rag.v1 import rag_pb2
from headrace_llm.client import ChatRequest
from headrace_llm.errors import CallTimeout, GateRefused, InvalidAnswer, ProviderRejected, ProviderUnavailable, Throttled
from headrace_llm.usage import ModelUsage, Usage
from headrace_runtime import errors

from tests.support import rag
from tests.support.models import Answer, Scripted, ScriptedModels

TEXT = "\n\n".join(f"In week {week} the depot fed the mill with {week} carts of grain." for week in range(30))
COST = Usage({"small": ModelUsage(1, 0, 100, 700, 0.0)})
FAILED, READY = rag_pb2.DOCUMENT_STATE_FAILED, rag_pb2.DOCUMENT_STATE_READY
GRAPH_MODES = (
    rag_pb2.SEARCH_MODE_LOCAL,
    rag_pb2.SEARCH_MODE_GLOBAL,
    rag_pb2.SEARCH_MODE_HYBRID,
    rag_pb2.SEARCH_MODE_MIX,
)


@pytest.mark.parametrize(
    "answer",
    [
        "I am a small model {{{ and no JSON",
        InvalidAnswer("cut off", text='{"entities": [{"name": "Dep', faults=[": not JSON"], usage=COST),
        InvalidAnswer("not of the schema", text="[1, 2, 3]", faults=[": not an object"], usage=COST),
        ProviderRejected("content filter"),
        '{"entities": "none", "relationships": {"a": 1}}',
        "",
    ],
    ids=["prose", "cut off", "array", "rejected", "wrong types", "empty"],
)
async def test_a_document_of_which_the_model_makes_nothing_is_found_by_its_words(postgres_url: str, answer: Answer) -> None:
    models = ScriptedModels(otherwise=answer)
    async with rag.running(postgres_url, models) as service:
        ingested = await service.ingest("mill", TEXT)
        found = await service.search("where does the grain come from?")

    assert ingested.document.state == READY
    assert found.chunks[0].document_id == "mill"


async def test_an_answer_that_was_paid_for_is_counted_even_when_it_is_useless(postgres_url: str) -> None:
    cut_off = InvalidAnswer("cut off", text="{", faults=[": not JSON"], usage=COST)
    async with rag.running(postgres_url, ScriptedModels(otherwise=cut_off)) as service:
        ingested = await service.ingest("mill", "The depot feeds the mill.")

    assert Usage.from_proto(ingested.usage).total == COST.total


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (Throttled("slow down", retry_after_s=7.0), errors.ResourceExhausted),
        (GateRefused("no slot before the deadline", retry_after_s=7.0), errors.ResourceExhausted),
        (ProviderUnavailable("away", retry_after_s=7.0), errors.Unavailable),
        (CallTimeout("too slow"), errors.DeadlineExceeded),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_document_fails_with_the_models_reason_and_the_same_call_reads_it_later(
    postgres_url: str, failure: errors.ServiceError, raised: type[errors.ServiceError]
) -> None:
    graph = json.dumps(rag.GRAPH)
    models = ScriptedModels(answers=[graph, graph], otherwise=failure)
    async with rag.running(postgres_url, models, chunk_tokens=60, extract_parallel=1) as service:
        with pytest.raises(raised) as caught:
            await service.ingest("mill", TEXT)
        failed = await service.document("mill")
        nothing = await service.search("grain")
        models.otherwise, models.requests = graph, []
        answered = await service.ingest("mill", TEXT)
        found = await service.search("grain")

    assert (caught.value.reason, caught.value.retry_after_s) == (failure.reason, failure.retry_after_s)
    assert (failed.state, failed.error) == (FAILED, failure.message)
    assert not nothing.chunks
    assert answered.document.state == READY
    assert len(models.requests) == answered.document.chunks - 2, "chunks that were answered are not asked again"
    assert found.chunks


async def test_a_failed_document_does_not_keep_others_from_being_read(postgres_url: str) -> None:
    models = ScriptedModels(answers=[Throttled("slow down", retry_after_s=7.0)], otherwise=json.dumps(rag.GRAPH))
    async with rag.running(postgres_url, models) as service:
        with pytest.raises(errors.ResourceExhausted):
            await service.ingest("first", "One text about grain.")
        await service.ingest("second", "Another text about grain.")
        asked = len(models.requests)
        found = await service.search("grain", top_k=10)
        first = await service.document("first")

    assert asked == 2, "the failed one is not read again at another's cost"
    assert {chunk.document_id for chunk in found.chunks} == {"second"}
    assert first.state == FAILED


async def test_the_model_is_asked_with_the_tenant_a_deadline_and_bounds(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models, extract_max_tokens=321) as service:
        await service.of("t-1").ingest("mill", "The depot feeds the mill.", timeout_s=30)

    (request,) = models.requests
    assert (request.tenant_id, request.model, request.max_tokens) == ("t-1", "small", 321)
    assert 20 < request.deadline_s < 29.5
    assert request.schema is not None
    assert sum(len(message.content) for message in request.messages) < 1000


async def test_a_caller_who_leaves_stops_the_reading_and_another_call_goes_on(postgres_url: str) -> None:
    graph = json.dumps(rag.GRAPH)
    gate = asyncio.Event()
    models = ScriptedModels(answers=[graph, Scripted(pieces=("{", "}"), gate=gate)], otherwise=graph)
    async with rag.running(postgres_url, models, chunk_tokens=60, extract_parallel=1) as service:
        call = asyncio.create_task(service.ingest("mill", TEXT))
        while len(models.requests) < 2:
            await asyncio.sleep(0.01)
        call.cancel()
        gate.set()
        again = await service.ingest("mill", TEXT)

    assert again.document.state == READY
    assert len(models.requests) <= again.document.chunks + 1


async def test_naive_asks_no_model(postgres_url: str) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        await service.ingest("mill", TEXT)
        before = len(models.requests)
        for query in ("grain", "go", "C#", "麦", "where? " * 1000):
            found = await service.search(query)
            assert not found.usage.models
        await service.search("grain", mode=rag_pb2.SEARCH_MODE_NAIVE)

    assert len(models.requests) == before


@pytest.mark.parametrize("mode", GRAPH_MODES)
async def test_graph_modes_ask_once_and_give_entities_relations_and_cited_chunks(postgres_url: str, mode: int) -> None:
    models = ScriptedModels(otherwise=rag.obedient)
    async with rag.running(postgres_url, models) as service:
        await service.ingest("mill", "The depot feeds the mill with grain.", title="On mills")
        before = len(models.requests)
        found = await service.search("what does the depot supply?", mode=mode)

    assert len(models.requests) == before + 1
    assert Usage.from_proto(found.usage).total.llm_calls == 1
    assert {entity.name for entity in found.entities} == {"Depot", "Mill"}
    assert [{relation.source, relation.target} for relation in found.relations] == [{"Depot", "Mill"}]
    assert found.relations[0].description == "The depot supplies the mill."
    assert [(chunk.document_id, chunk.title) for chunk in found.chunks] == [("mill", "On mills")]


@pytest.mark.parametrize(
    "failure",
    [
        Throttled("slow down", retry_after_s=7.0),
        ProviderUnavailable("away"),
        CallTimeout("slow"),
        InvalidAnswer("no JSON", text="no JSON", faults=[": not JSON"], usage=COST),
        '{"themes": [], "names": ["", " "]}',
    ],
    ids=["throttled", "unavailable", "timeout", "rubbish", "none"],
)
async def test_a_search_goes_on_without_the_models_keywords(postgres_url: str, failure: Answer) -> None:
    def answer(request: ChatRequest) -> Answer:
        wants_keywords = "themes" in (request.schema or {}).get("required", ())
        return failure if wants_keywords else json.dumps(rag.GRAPH)

    async with rag.running(postgres_url, ScriptedModels(otherwise=answer)) as service:
        await service.ingest("mill", "The depot feeds the mill with grain.")
        found = await service.search("what feeds the mill?", mode=rag_pb2.SEARCH_MODE_HYBRID)

    assert {entity.name for entity in found.entities} == {"Depot", "Mill"}
    assert found.chunks


@pytest.mark.parametrize("mode", GRAPH_MODES)
async def test_a_query_too_short_for_the_graph_is_answered_by_vectors(postgres_url: str, mode: int) -> None:
    async with rag.running(postgres_url, ScriptedModels(otherwise=rag.obedient), min_score=-1) as service:
        await service.ingest("mill", "The depot feeds the mill with grain.")
        found = await service.search("C", mode=mode)

    assert [chunk.document_id for chunk in found.chunks] == ["mill"]
