"""Wires a `ModelClient`: models file, Redis, gate, LiteLLM."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace_llm.client import ModelClient
from headrace_llm.settings import LlmSettings


@asynccontextmanager
async def model_client(settings: LlmSettings) -> AsyncIterator[ModelClient]:
    """A client that is ready when the block begins and warms LiteLLM up beside it.

    Raises `InvalidRegistry` for a models file that cannot be used.
    """
    raise NotImplementedError
    yield
