import asyncio

import pytest
from headrace_router import metrics, neighbourhood
from headrace_router.model import Intent
from headrace_router.neighbourhood import HEAD_CHARS, TAIL_CHARS, Neighbourhood
from prometheus_client import Counter

from tests.unit.headrace_router.support import ENGLISH, EXAMPLES, FakeEmbedder


def make(*, timeout_s: float = 5, slots: int = 4) -> Neighbourhood:
    return Neighbourhood(EXAMPLES, timeout_s=timeout_s, slots=slots)


def count(counter: Counter) -> float:
    return counter._value.get()


async def test_before_the_vectors_are_there_shared_words_vote() -> None:
    before = count(metrics.WORDS_ONLY.labels("loading"))
    nearby = make()
    vote = await nearby.vote("change the title please")
    assert vote.intent is Intent.PATCH
    assert not nearby.ready
    assert count(metrics.WORDS_ONLY.labels("loading")) == before + 1


async def test_once_learned_meaning_finds_what_words_cannot() -> None:
    embedder = FakeEmbedder({"examine me, kindly": Intent.QUIZ})
    nearby = make()
    assert (await nearby.vote("examine me, kindly")).margin == 0
    await nearby.learn(embedder)
    vote = await nearby.vote("examine me, kindly")
    assert nearby.ready
    assert vote.intent is Intent.QUIZ
    assert vote.margin > 0.9


async def test_only_english_examples_are_embedded_and_chinese_messages_never_are() -> None:
    embedder = FakeEmbedder()
    nearby = make()
    await nearby.learn(embedder)
    assert embedder.requests == [tuple(example.text for example in ENGLISH)]
    assert (await nearby.vote("请出一份测验")).intent is Intent.QUIZ
    assert len(embedder.requests) == 1


async def test_examples_are_embedded_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbourhood, "BATCH", 2)
    embedder = FakeEmbedder()
    await make().learn(embedder)
    assert [len(texts) for texts in embedder.requests] == [2, 2, 1]


async def test_a_vector_that_comes_late_is_not_waited_for() -> None:
    embedder = FakeEmbedder()
    nearby = make(timeout_s=0.02)
    await nearby.learn(embedder)
    embedder.gate = asyncio.Event()
    before = count(metrics.WORDS_ONLY.labels("late"))
    assert (await nearby.vote("build a page for me")).intent is Intent.BUILD
    assert count(metrics.WORDS_ONLY.labels("late")) == before + 1


async def test_no_more_messages_than_slots_wait_for_vectors() -> None:
    embedder = FakeEmbedder()
    nearby = make(slots=1)
    await nearby.learn(embedder)
    embedder.gate = asyncio.Event()
    first = asyncio.create_task(nearby.vote("make a quiz now"))
    while len(embedder.requests) < 2:
        await asyncio.sleep(0)
    before = count(metrics.WORDS_ONLY.labels("busy"))
    assert (await nearby.vote("make a quiz tomorrow")).intent is Intent.QUIZ
    assert count(metrics.WORDS_ONLY.labels("busy")) == before + 1
    embedder.gate.set()
    assert (await first).intent is Intent.QUIZ
    await nearby.vote("make a quiz on monday")
    assert len(embedder.requests) == 3, "the slot is free again"


async def test_a_message_seen_before_costs_no_vector() -> None:
    embedder = FakeEmbedder()
    nearby = make()
    await nearby.learn(embedder)
    first = await nearby.vote("Make a quiz on rivers")
    assert await nearby.vote("make a  QUIZ on rivers") == first
    assert len(embedder.requests) == 2


async def test_a_vote_by_words_alone_is_not_remembered() -> None:
    nearby = make()
    text = "examine me, kindly"
    await nearby.vote(text)
    await nearby.learn(FakeEmbedder({text: Intent.QUIZ}))
    assert (await nearby.vote(text)).intent is Intent.QUIZ


async def test_of_a_long_message_only_the_ends_are_compared() -> None:
    embedder = FakeEmbedder()
    nearby = make()
    await nearby.learn(embedder)
    await nearby.vote("Summarise this: " + "words " * 5_000)
    assert len(embedder.requests[-1][0]) <= HEAD_CHARS + TAIL_CHARS + 3


def test_examples_in_one_language_only_are_refused() -> None:
    with pytest.raises(ValueError, match="English and in Chinese"):
        Neighbourhood(ENGLISH, timeout_s=1, slots=1)
