import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from headrace_router import app
from headrace_router.settings import Settings

from tests.support.models import ScriptedModels
from tests.unit.headrace_router.support import FakeEmbedder


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @asynccontextmanager
    async def models(_: object) -> AsyncIterator[ScriptedModels]:
        yield ScriptedModels()

    monkeypatch.setenv("HEADRACE_LLM_MODELS_FILE", str(tmp_path / "models.yaml"))
    monkeypatch.setattr("headrace_router.app.llm.model_client", models)


async def test_the_embedder_is_held_open_until_the_service_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, closed = FakeEmbedder(), asyncio.Event()

    @asynccontextmanager
    async def opened() -> AsyncIterator[FakeEmbedder]:
        try:
            yield embedder
        finally:
            closed.set()

    monkeypatch.setattr("headrace_router.app.embeddings.open_embedder", opened)
    async with app.service(Settings()) as service:
        async with asyncio.timeout(5):
            while not embedder.requests:
                await asyncio.sleep(0)
        assert service.failed is not None
        assert not service.failed.done()
        assert not closed.is_set()
    assert closed.is_set()


async def test_without_the_weights_the_process_is_told_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def missing() -> AsyncIterator[FakeEmbedder]:
        raise FileNotFoundError("install the weights")
        yield FakeEmbedder()

    monkeypatch.setattr("headrace_router.app.embeddings.open_embedder", missing)
    async with app.service(Settings()) as service:
        assert service.failed is not None
        with pytest.raises(FileNotFoundError, match="install the weights"):
            await asyncio.wait_for(asyncio.shield(service.failed), 5)
