"""The real small models: an answer, a stream and a schema from SmolLM2, vectors from MiniLM."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from headrace_llm import app
from headrace_llm.client import ChatRequest, Completion, Message
from headrace_llm.embeddings import Embedder, open_embedder
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
