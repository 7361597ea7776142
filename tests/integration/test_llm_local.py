"""The real small models: an answer, a stream and a schema from SmolLM2, vectors from both embedders."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from headrace_llm import app
from headrace_llm.client import ChatRequest, Completion, Message
from headrace_llm.embeddings import Embedder, open_embedder, open_multilingual_embedder
from headrace_llm.settings import LlmSettings
from pydantic import SecretStr

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm")
TEXTS = ["The cat sits on the mat.", "A kitten rests on a rug.", "The car needs new brakes."]


async def test_a_real_model_answers_streams_and_keeps_to_a_schema(
    local_model_url: str, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(f"models:\n  smollm2:\n    model: openai/smollm2\n    api_base: {local_model_url}\n")
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    question = (Message("user", "Which colour has the sky? Answer shortly."),)
    async with app.model_client(LlmSettings(models_file=file, redis_url=SecretStr(redis_url))) as models:
        whole = await models.complete(ChatRequest(question, "t", 60, max_tokens=24))
        assert whole.text.strip()
        assert 0 < whole.usage.total.completion_tokens <= 24
        *pieces, end = [item async for item in models.stream(ChatRequest(question, "t", 60, max_tokens=24))]
        assert isinstance(end, Completion)
        assert "".join(map(str, pieces)) == end.text == whole.text
        assert len(pieces) > 1
        assert end.usage.total.prompt_tokens > 5
        chosen = await models.complete(ChatRequest(question, "t", 60, max_tokens=48, schema=schema))
        assert json.loads(chosen.text)["colour"] in ("red", "blue")


@pytest.fixture
async def embedder() -> AsyncIterator[Embedder]:
    async with open_embedder() as value:
        yield value


async def test_likeness_follows_meaning(embedder: Embedder) -> None:
    vectors = await embedder.embed(TEXTS)
    assert vectors.shape == (3, embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] == pytest.approx(0.649, abs=0.005)  # as the reference implementation has it
    assert likeness[0, 2] < 0.15


async def test_a_batch_gives_each_text_its_own_vector(embedder: Embedder) -> None:
    many = [f"{TEXTS[at % 3]} {'more words ' * (at % 40)}" for at in range(70)]
    together = await embedder.embed(many)
    for at in (0, 13, 39, 69):
        np.testing.assert_allclose(together[at], (await embedder.embed([many[at]]))[0], atol=1e-5)


async def test_strange_texts_have_vectors(embedder: Embedder) -> None:
    vectors = await embedder.embed(["", "   ", "\ud800", "中文 文本", "x" * 1_000_000, "word " * 5000])
    assert np.isfinite(vectors).all()
    assert (await embedder.embed([])).shape == (0, 384)


async def test_only_the_first_tokens_count(embedder: Embedder) -> None:
    long = "word " * 300
    one, two = await embedder.embed([long, long + "entirely different ending"])
    np.testing.assert_allclose(one, two, atol=1e-6)


async def test_the_loop_runs_on_while_vectors_are_made(embedder: Embedder) -> None:
    task = asyncio.create_task(embedder.embed(["a sentence of some length " * 20] * 32))
    turns = 0
    while not task.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert turns > 10


KNOWN = (
    ("The user is allergic to peanuts and shellfish.", "用户对花生和海鲜过敏。", "有哪些食物不能吃"),
    ("Her daughter Emma started third grade in September.", "她的女儿小红今年九月上了三年级。", "孩子在读几年级"),
    (
        "Prefers answers in bullet points, short and without jargon.",
        "喜欢用简短的要点回答，不要术语。",
        "回复应该用什么格式",
    ),
    ("He lives in Berlin and works remotely.", "他住在上海，远程办公。", "他的家在哪个城市"),
    ("The budget for the trip is 2,000 euros.", "这次旅行的预算是五千元。", "旅游可以花多少钱"),
    ("Mr. Chen is the manager who approves invoices.", "陈经理负责审批发票。", "谁来批准报销单"),
    ("She drives an electric car, a Tesla.", "她开一辆特斯拉电动车。", "她有什么汽车"),
    ("The favourite music is jazz.", "最喜欢的音乐是爵士乐。", "用户爱听什么歌"),
)
"""A fact in English and in Chinese, and a Chinese question that it answers with other words."""


@pytest.mark.parametrize("language", [0, 1], ids=["english", "chinese"])
async def test_a_chinese_question_finds_its_answer_in_either_language(language: int) -> None:
    async with open_multilingual_embedder() as embedder:
        facts = await embedder.embed([one[language] for one in KNOWN])
        questions = await embedder.embed([one[2] for one in KNOWN])
    right = (questions @ facts.T).argmax(axis=1) == np.arange(len(KNOWN))
    assert right.sum() >= len(KNOWN) - 1, right


async def test_the_multilingual_encoder_reads_all_of_any_text() -> None:
    async with open_multilingual_embedder() as embedder:
        strange = await embedder.embed(["", "   ", "\ud800", "中文 文本", "x" * 5_000, "word " * 1_000])
        assert strange.shape == (6, embedder.dimensions)
        np.testing.assert_allclose(np.linalg.norm(strange, axis=1), 1, atol=1e-5)
        assert (await embedder.embed([])).shape == (0, embedder.dimensions)
        long = "The weather was fine. " * 60
        one, two = await embedder.embed([long, long + "The user is allergic to peanuts. " * 20])
        assert one @ two < 0.95
        many = ["a mill", "谷物" * 600, "water"]
        together = await embedder.embed(many)
        for at, text in enumerate(many):
            np.testing.assert_allclose(together[at], (await embedder.embed([text]))[0], atol=1e-5)
