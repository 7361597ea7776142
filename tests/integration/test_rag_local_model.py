"""The real local model reads a page, badly, and both pages are found."""

from pathlib import Path

import pytest
from headrace.rag.v1 import rag_pb2
from headrace_llm import app as llm
from headrace_llm.settings import LlmSettings
from headrace_llm.usage import Usage
from pydantic import SecretStr

from tests.support import rag

NOTE = "Ada Lovelace wrote the first program. Charles Babbage designed the engine that it was for. They worked in London."
PAGE = Path(__file__).parents[2].joinpath("docs", "architecture.md").read_text(encoding="utf-8")[:1500]
PAGE_S = 240.0
"""The deadline of an ingest, for two cores that do much besides; alone it takes 3 to 10 seconds."""


@pytest.mark.timeout(300)
async def test_the_local_model_reads_pages_that_are_then_found(
    postgres_url: str, redis_url: str, local_model_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_KEY", "none")
    models = tmp_path / "models.yaml"
    models.write_text(
        f"models: {{smollm2: {{model: openai/smollm2, api_base: '{local_model_url}', "
        "api_key_env: LOCAL_KEY, context_tokens: 4096}}\n"
    )
    settings = LlmSettings(models_file=models, redis_url=SecretStr(redis_url))
    async with llm.model_client(settings) as client, rag.running(postgres_url, client, extract_parallel=2) as service:
        for name, text in (("note", NOTE), ("page", PAGE)):
            answer = await service.ingest(name, text, title=name, timeout_s=PAGE_S)
            assert answer.document.state == rag_pb2.DOCUMENT_STATE_READY
            assert Usage.from_proto(answer.usage).total.llm_calls > 0
        for mode in (rag_pb2.SEARCH_MODE_NAIVE, rag_pb2.SEARCH_MODE_MIX):
            found = await service.search("Who wrote the first program?", mode=mode)
            assert found.chunks[0].document_id == "note"
