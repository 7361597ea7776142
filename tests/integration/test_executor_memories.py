"""Memories with the real rag service beside the executor, on one database that neither has seen before."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson
from headrace.executor.v1 import executor_pb2 as run_pb
from headrace.executor.v1 import memories_pb2 as pb
from headrace_executor import memories
from headrace_executor.adapters.postgres.schema import SCHEMA as EXECUTOR
from headrace_executor.adapters.rag_client import RagClient
from headrace_llm.embeddings import open_multilingual_embedder
from headrace_rag.adapters.postgres.schema import SCHEMA as RAG
from headrace_runtime import channels, errors

from tests.support import rag
from tests.support.embeddings import FakeEmbeddings
from tests.support.executor_durable import Executor, ScriptedPipeline, executor, refused, settings
from tests.support.models import ScriptedModels

WRITTEN = 300
FACTS = {
    "food": "The user is allergic to peanuts and shellfish.",
    "child": "她的女儿小红今年九月上了三年级。",
    "home": "He lives in Berlin and works remotely.",
    "budget": "这次旅行的预算是五千元。",
    "car": "She drives an electric car.",
    "music": "最喜欢的音乐是爵士乐。",
}
QUESTIONS = {
    "food": ("有哪些食物不能吃", "which foods must be avoided"),
    "child": ("孩子在读几年级", "what grade is the girl at school in"),
    "home": ("他的家在哪个城市", "which city does he live in"),
    "budget": ("旅游可以花多少钱", "how much money may the journey cost"),
    "car": ("她有什么汽车", "what vehicle does she have"),
    "music": ("用户爱听什么歌", "which kind of music does the user like"),
}


async def session(one: Executor) -> str:
    made = await channels.unary(one.sessions.CreateSession, run_pb.CreateSessionRequest(tenant_id="t"), timeout_s=20)
    return made.session.session_id


async def put(one: Executor, session_id: str, key: str, value: Any) -> pb.Memory:
    request = pb.PutMemoryRequest(tenant_id="t", session_id=session_id, key=key, value=orjson.dumps(value))
    return (await channels.unary(one.memories.PutMemory, request, timeout_s=20)).memory


async def search(one: Executor, session_id: str, query: str, top_k: int = 3) -> Sequence[pb.FoundMemory]:
    request = pb.SearchMemoriesRequest(tenant_id="t", session_id=session_id, query=query, top_k=top_k)
    return (await channels.unary(one.memories.SearchMemories, request, timeout_s=20)).memories


async def test_services_that_start_together_make_the_extension_once(postgres_url: str) -> None:
    await asyncio.gather(*(schema.migrate(postgres_url) for schema in (EXECUTOR, RAG) * 3))


async def test_questions_find_their_memories_whatever_the_language_of_either(postgres_url: str) -> None:
    async with AsyncExitStack() as stack:
        embedder = await stack.enter_async_context(open_multilingual_embedder())
        service = await stack.enter_async_context(rag.running(postgres_url, ScriptedModels(), embedder))
        started = executor(settings(postgres_url), ScriptedPipeline(), embeddings=RagClient(service.channel))
        one = await stack.enter_async_context(started)
        mine = await session(one)
        for key, fact in FACTS.items():
            await put(one, mine, key, fact)
        first = {
            question: (await search(one, mine, question))[0].memory.key
            for questions in QUESTIONS.values()
            for question in questions
        }
    right = [first[question] == key for key, questions in QUESTIONS.items() for question in questions]
    assert sum(right) >= len(right) - 1, first


async def test_many_memories_written_while_rag_was_away_are_found_by_and_by(postgres_url: str) -> None:
    async with AsyncExitStack() as stack:
        embeddings = FakeEmbeddings(error=errors.Unavailable("rag is away"))
        away = executor(settings(postgres_url), ScriptedPipeline(), embeddings=embeddings)
        one = await stack.enter_async_context(away)
        mine = await session(one)
        for start in range(0, WRITTEN, 20):
            await asyncio.gather(*(put(one, mine, f"k{number}", f"number {number}") for number in range(start, start + 20)))
        assert (await refused(search(one, mine, "number 7"))).reason == "EMBEDDINGS_AWAY"

        service = await stack.enter_async_context(rag.running(postgres_url, ScriptedModels()))
        back = executor(settings(postgres_url), ScriptedPipeline(), embeddings=RagClient(service.channel))
        other = await stack.enter_async_context(back)
        request = pb.SearchMemoriesRequest(tenant_id="t", session_id=mine, query="number 299", top_k=1)
        left = [(await channels.unary(other.memories.SearchMemories, request, timeout_s=20)).pending for _ in range(2)]
        assert left == [WRITTEN - memories.EMBED_PENDING_CALLS * memories.EMBED_TEXTS, 0]
        assert (await search(other, mine, "number 299", top_k=1))[0].score > 0.999
