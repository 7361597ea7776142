"""What the cache costs and saves, beside a bare Redis GET in the same run: `python -m tests.bench.cache`."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import redis.asyncio
from headrace_cli.embedded import program, valkey
from headrace_llm.adapters.redis_cache import RedisCache
from headrace_llm.adapters.redis_gate import connect
from headrace_llm.cache.cached_models import CachedModels, Room
from headrace_llm.cache.ports import SharedRoom
from headrace_llm.cache.single_flight import Bounds
from headrace_llm.client import ChatRequest, Completion, Message, ModelSignals
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.usage import ModelUsage, Usage

ROUNDS = 3000
TEXT = "All is well that ends well. " * 40
PROMPT = "Explain the tides to a child of ten. " * 50
ANSWER = Completion(TEXT, "m", Usage({"m": ModelUsage(1)}))


class Instant:
    """A model that answers at once."""

    registry = Registry.of([ModelEntry(id="m", model="openai/m")])

    async def complete(self, request: ChatRequest) -> Completion:
        """The same."""
        request.on_cost(ANSWER.usage)
        return ANSWER

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        """The same in one piece."""
        yield TEXT
        request.on_cost(ANSWER.usage)
        yield ANSWER

    def signals(self) -> Sequence[ModelSignals]:
        """None."""
        return ()


def ask(number: int, **changes: object) -> ChatRequest:
    """A request of about 500 tokens."""
    return ChatRequest((Message("user", f"{number} {PROMPT}"),), "t", 30.0, **changes)  # type: ignore[arg-type]


async def row(
    name: str,
    call: Callable[[int], Awaitable[object]],
    floor_us: float = 0.0,
    *,
    between: Callable[[], Awaitable[None]] | None = None,
) -> float:
    """Print one line: microseconds a call, one after the other; `between` is not counted. Returns the median."""
    took = []
    for number in range(ROUNDS):
        started = time.perf_counter_ns()
        await call(number)
        took.append((time.perf_counter_ns() - started) / 1000)
        if between is not None:
            await between()
    cuts = quantiles(took, n=100)
    beside = f"{cuts[49] / floor_us:8.2f} x" if floor_us else ""
    print(f"{name:44}{cuts[49]:10.1f} us p50{cuts[98]:10.1f} us p99{beside}")
    return cuts[49]


async def main() -> None:
    """Measure on a Valkey of our own."""
    with TemporaryDirectory() as folder:
        home, port = Path(folder), program.free_port()
        with program.running(valkey.prepare(home / "data", port, home / "password"), home / "log"):
            async with aclosing(connect(valkey.url(port, home / "password"), timeout_s=2, connections=4)) as client:
                await client.set("bare", TEXT)
                floor = await row("bare GET of the same text", lambda _: client.get("bare"))
                await row("bare inner call", lambda n: Instant().complete(ask(n)), floor)
                models = made(client, Room())
                await row("not cacheable", lambda n: models.complete(ask(n, temperature=1.0)), floor)
                await row("miss: look and lease", lambda n: models.complete(ask(n)), floor, between=models.close)
                await row("miss, keeping it counted too", lambda n: both(models, ask(-1 - n)), floor)
                forgetful = made(client, Room(bytes=0))
                await row("hit in Redis", lambda n: forgetful.complete(ask(n)), floor)
                await row("hit in the process", lambda n: models.complete(ask(ROUNDS - 1 - n % 1000)), floor)


async def both(models: CachedModels, request: ChatRequest) -> None:
    """Ask, and wait until Redis has the answer."""
    await models.complete(request)
    await models.close()


def made(client: redis.asyncio.Redis, room: Room) -> CachedModels:
    """A cache in front of an instant model."""
    return CachedModels(Instant(), RedisCache(client, SharedRoom()), room, Bounds())


if __name__ == "__main__":
    asyncio.run(main())
