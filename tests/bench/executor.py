"""The executor as it is, but for the model: `python -m tests.bench.executor`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace_executor import app
from headrace_executor.settings import Settings
from headrace_llm.app import load_registry
from headrace_llm.settings import LlmSettings
from headrace_runtime import serve

from tests.bench.model_double import InstantModel


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[serve.Service]:
    """Wire the executor with a model that answers at once."""
    async with app.service(settings, models=InstantModel(load_registry(LlmSettings()))) as made:
        yield made


if __name__ == "__main__":
    serve.main("executor", Settings, service)
