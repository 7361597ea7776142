"""One suite for the whole session, its model a scripted provider, and whatever a test needs of it."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.e2e import suite as suites
from tests.support.folders import open_folder
from tests.support.openai_server import OpenAiServer, Reply, openai_server

MODELS = """
default: scripted
models:
  scripted:
    model: openai/scripted
    api_base: {url}
    context_tokens: 8192
    price: {{prompt_usd_per_million: 1, completion_usd_per_million: 2}}
"""


@pytest.fixture(scope="session")
def _provider() -> Iterator[OpenAiServer]:
    ready, stop = threading.Event(), asyncio.Event()
    made: list[tuple[OpenAiServer, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with openai_server() as server:
            made.append((server, asyncio.get_running_loop()))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="provider")
    thread.start()
    assert ready.wait(10)
    server, loop = made[0]
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


@pytest.fixture(scope="session")
def _suite(_provider: OpenAiServer) -> Iterator[suites.Suite]:
    with open_folder() as home:
        models = home / "models.yaml"
        models.write_text(MODELS.format(url=_provider.base_url))
        with suites.running(home / "state", "--models", str(models), "--executors", "2") as suite:
            yield suite


@pytest.fixture
def provider(_provider: OpenAiServer) -> OpenAiServer:
    """The model's provider, without a script and with empty books."""
    _provider.script.clear()
    _provider.requests.clear()
    _provider.otherwise = Reply()
    _provider.worked_out = None
    return _provider


@pytest.fixture
async def suite(_suite: suites.Suite, provider: OpenAiServer) -> suites.Suite:
    """The suite with every part ready."""
    await _suite.ready()
    return _suite
