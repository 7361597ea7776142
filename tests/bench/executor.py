"""The executor as it is, but for the model: `python -m tests.bench.executor`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from headrace_executor import app
from headrace_executor.settings import Settings
from headrace_llm import registry
from headrace_llm.settings import LlmSettings
from headrace_runtime import serve

from tests.bench.model_double import InstantModel


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[serve.Service]:
    """Wire the executor with a model that answers at once."""
    models = registry.load(Path(LlmSettings().models_file).read_text())
    async with app.service(settings, models=InstantModel(models)) as made:
        yield made


if __name__ == "__main__":
    serve.main("executor", Settings, service)
