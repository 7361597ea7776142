"""The real servers that tests use, from the same wheels and by the same code as `headrace up`."""

import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest
import redis.asyncio
from headrace_cli.embedded import model, postgres, program, valkey

from tests.support.folders import open_folder

# Begun in the background, this process and those that it starts would ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test states a time, and the same commit gives the same result; HYPOTHESIS_PROFILE=search looks for new examples.
hypothesis.settings.register_profile(
    "headrace", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2_000)
hypothesis.settings.register_profile(
    "nightly", deadline=None, max_examples=10_000, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "headrace"))


@pytest.fixture(scope="session")
def _postgres() -> Iterator[str]:
    with open_folder() as home:
        password, port = home / "password", program.free_port()
        with program.running(postgres.prepare(home / "data", port, password), home / "log"):
            yield postgres.url(port, password)


@pytest.fixture
async def postgres_url(_postgres: str) -> AsyncIterator[str]:
    """An empty database of its own on a real Postgres with pgvector."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(_postgres)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield f"{_postgres.rpartition('/')[0]}/{name}"
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("valkey")
    port, password = program.free_port(), home / "password"
    with program.running(valkey.prepare(home / "data", port, password), home / "log"):
        yield valkey.url(port, password)


@pytest.fixture
async def redis_url(_valkey: str) -> str:
    """A real Valkey, emptied before the test."""
    client = redis.asyncio.from_url(_valkey)
    await client.flushall()
    await client.aclose()
    return _valkey


@pytest.fixture(scope="session")
def local_model_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The OpenAI-compatible base URL of the embedded model; its name is "smollm2"."""
    home: Path = tmp_path_factory.mktemp("model")
    port = program.free_port()
    with program.running(model.prepare(port), home / "log"):
        yield model.url(port)
