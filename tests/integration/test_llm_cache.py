"""The cache on a real Valkey: two clients over two connections are two processes."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
import redis.asyncio
from headrace_llm import app, metrics
from headrace_llm.adapters.redis_cache import PREFIX, RedisCache
from headrace_llm.adapters.redis_gate import connect
from headrace_llm.cache import single_flight, warm_up
from headrace_llm.cache.cached_models import CachedModels, Room
from headrace_llm.cache.policy import Kept, Key
from headrace_llm.cache.ports import Found, Question, SharedRoom, Turn
from headrace_llm.client import ChatRequest, Completion, Message, Restarted
from headrace_llm.errors import InvalidWarmUp, ProviderUnavailable
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.settings import LlmSettings
from pydantic import SecretStr

from tests.support.models import Scripted, ScriptedModels
from tests.support.openai_server import openai_server
from tests.support.outage import way_to


class Watched(RedisCache):
    """Counts what it is asked, and how often it said that another has the turn."""

    looks = 0
    waits = 0

    async def look(self, question: Question) -> Found | Turn:
        said = await super().look(question)
        self.looks += 1
        self.waits += said is Turn.OTHERS
        return said


@dataclass
class Process:
    """What one process has of the cache."""

    client: redis.asyncio.Redis
    inner: ScriptedModels
    shared: Watched
    models: CachedModels

    @property
    def calls(self) -> int:
        return len(self.inner.requests)

    @property
    def looks(self) -> int:
        return self.shared.looks

    @property
    def waits(self) -> int:
        return self.shared.waits


@dataclass
class Options:
    answer: Scripted = field(default_factory=Scripted)
    redis: SharedRoom = field(default_factory=lambda: SharedRoom(retry_s=0.2))
    flight: single_flight.Bounds = field(default_factory=lambda: single_flight.Bounds(poll_s=30))


@asynccontextmanager
async def process(url: str, options: Options | None = None) -> AsyncIterator[Process]:
    options = options or Options()
    async with aclosing(connect(url, timeout_s=0.5, connections=4)) as client:
        inner = ScriptedModels(otherwise=options.answer)
        shared = Watched(client, options.redis)
        models = CachedModels(inner, shared, Room(), options.flight)
        try:
            yield Process(client, inner, shared, models)
        finally:
            await models.close()
            await shared.close()


def ask(text: str = "hello", **changes: object) -> ChatRequest:
    return ChatRequest((Message("user", text),), "t", 60.0, **changes)  # type: ignore[arg-type]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_one_process_asked_another_knows(redis_url: str) -> None:
    async with process(redis_url) as one, process(redis_url) as two:
        first = await one.models.complete(ask())
        await one.models.close()
        again = await two.models.complete(ask())
        assert (first.text, first.usage.total.llm_calls, first.usage.total.cached_calls) == ("ok", 1, 0)
        assert (again.text, again.usage.total.llm_calls, again.usage.total.cached_calls) == ("ok", 0, 1)
        assert (one.calls, two.calls) == (1, 0)


async def test_processes_that_ask_the_same_at_once_make_one_call(redis_url: str) -> None:
    gate = asyncio.Event()
    options = Options(Scripted(("all ", "is ", "well"), gate=gate))
    async with process(redis_url, options) as one, process(redis_url, options) as two:
        asked = [asyncio.create_task(each.models.complete(ask())) for each in (one, two) for _ in range(5)]
        await until(lambda: one.calls + two.calls == 1)
        gate.set()
        answers = await asyncio.gather(*asked)
        assert {each.text for each in answers} == {"all is well"}
        assert sum(each.usage.total.llm_calls for each in answers) == 1
        assert sum(each.usage.total.cached_calls for each in answers) == 9
        assert one.calls + two.calls == 1


async def test_a_stream_and_a_whole_answer_share_one_call(redis_url: str) -> None:
    gate = asyncio.Event()
    options = Options(Scripted(("all ", "is ", "well"), gate=gate))
    async with process(redis_url, options) as one, process(redis_url, options) as two:
        asked = asyncio.create_task(one.models.complete(ask()))
        await until(lambda: one.calls == 1)
        read = asyncio.create_task(_read(two, ask()))
        await until(lambda: two.waits)
        gate.set()
        *pieces, end = await read
        assert ("".join(map(str, pieces)), (await asked).text) == ("all is well", "all is well")
        assert isinstance(end, Completion)
        assert end.usage.total.cached_calls == 1
        assert two.calls == 0


async def test_tenants_share_nothing(redis_url: str) -> None:
    async with process(redis_url) as one, process(redis_url) as two:
        await one.models.complete(ask())
        await one.models.close()
        assert (await two.models.complete(replace(ask(), tenant_id="other"))).usage.total.llm_calls == 1


async def test_after_a_failure_one_of_the_others_asks(redis_url: str) -> None:
    gate = asyncio.Event()
    failing = Options(Scripted(("all ", "is"), gate=gate, error=ProviderUnavailable("away")))
    async with process(redis_url, failing) as one, process(redis_url) as two, process(redis_url) as three:
        leader = asyncio.create_task(one.models.complete(ask()))
        await until(lambda: one.calls == 1)
        others = [asyncio.create_task(each.models.complete(ask())) for each in (two, three)]
        await until(lambda: two.waits and three.waits)
        gate.set()
        with pytest.raises(ProviderUnavailable):
            await leader
        assert [each.text for each in await asyncio.gather(*others)] == ["ok", "ok"]
        assert two.calls + three.calls == 1


async def test_when_the_leader_leaves_another_process_asks_at_once(redis_url: str) -> None:
    stuck = Options(Scripted(("all ", "is"), gate=asyncio.Event()))
    async with process(redis_url, stuck) as one, process(redis_url) as two:
        leader = asyncio.create_task(one.models.complete(ask()))
        await until(lambda: one.calls == 1)
        other = asyncio.create_task(two.models.complete(ask()))
        await until(lambda: two.waits)
        leader.cancel()
        assert (await other).usage.total.llm_calls == 1  # long before the poll that would cover a lost message


async def test_the_lease_of_a_process_that_died_runs_out(redis_url: str) -> None:
    stuck = Options(Scripted(("all ", "is"), gate=asyncio.Event()))
    living = Options(flight=single_flight.Bounds(poll_s=0.05))
    dead = replace(stuck, redis=SharedRoom(lease_s=0.3), flight=single_flight.Bounds(lease_s=1000))  # it renews no more
    async with process(redis_url, dead) as one, process(redis_url, living) as two:
        leader = asyncio.create_task(one.models.complete(ask()))
        await until(lambda: one.calls == 1)
        assert (await two.models.complete(ask())).usage.total.llm_calls == 1
        assert two.waits
        leader.cancel()


async def test_a_living_process_keeps_its_lease(redis_url: str) -> None:
    gate = asyncio.Event()
    slow = Options(
        Scripted(("all ", "is"), gate=gate), SharedRoom(lease_s=0.3), single_flight.Bounds(lease_s=0.3, poll_s=0.05)
    )
    async with process(redis_url, slow) as one, process(redis_url, slow) as two:
        asked = [asyncio.create_task(each.models.complete(ask())) for each in (one, two)]
        await until(lambda: one.calls + two.calls == 1 and one.looks + two.looks > 20)  # a second, more than three leases
        gate.set()
        await asyncio.gather(*asked)
        assert one.calls + two.calls == 1


async def test_a_lost_message_is_covered_by_looking_again(redis_url: str) -> None:
    gate = asyncio.Event()
    options = Options(Scripted(("all ", "is"), gate=gate), flight=single_flight.Bounds(poll_s=0.05))
    async with process(redis_url, options) as one, process(redis_url, options) as two:
        two.shared._heard = lambda message: None  # type: ignore[method-assign]
        asked = asyncio.create_task(one.models.complete(ask()))
        await until(lambda: one.calls == 1)
        other = asyncio.create_task(two.models.complete(ask()))
        await until(lambda: two.waits)
        gate.set()
        assert (await other).usage.total.cached_calls == 1
        await asked


async def test_an_answer_that_is_too_large_is_not_kept_and_nobody_waits_for_it(redis_url: str) -> None:
    gate = asyncio.Event()
    small = Options(Scripted(("all ", "is"), gate=gate), SharedRoom(value_bytes=5))
    async with process(redis_url, small) as one, process(redis_url, small) as two:
        before = metrics.CACHE_NOT_SHARED.labels("too_large")._value.get()
        asked = [asyncio.create_task(each.models.complete(ask())) for each in (one, two)]
        await until(lambda: one.calls + two.calls == 1 and one.waits + two.waits > 0)
        gate.set()
        answers = await asyncio.gather(*asked)
        assert [each.usage.total.llm_calls for each in answers] == [1, 1]
        assert await one.client.keys(PREFIX + "value:*") == []
        assert metrics.CACHE_NOT_SHARED.labels("too_large")._value.get() > before


async def test_an_emptied_redis_is_only_a_fresh_start(redis_url: str) -> None:
    async with process(redis_url) as one, process(redis_url) as two:
        await one.models.complete(ask())
        await one.models.close()
        await one.client.flushall()
        await one.client.script_flush()
        assert (await two.models.complete(ask())).usage.total.llm_calls == 1
        await two.models.close()
        assert len(await one.client.keys(PREFIX + "value:*")) == 1


async def test_bytes_of_another_kind_are_asked_anew_and_replaced(redis_url: str) -> None:
    async with process(redis_url) as one, process(redis_url) as two:
        await one.models.complete(ask())
        await one.models.close()
        (name,) = await one.client.keys(PREFIX + "value:*")
        await one.client.set(name, b"junk")
        assert (await two.models.complete(ask())).usage.total.llm_calls == 1
        await two.models.close()
        assert await one.client.get(name) != b"junk"


async def test_while_redis_is_away_the_model_is_asked_and_then_the_cache_is_back(redis_url: str) -> None:
    async with way_to(redis_url) as (url, way), process(url) as one, process(redis_url) as two:
        await one.models.complete(ask("before"))
        await way.cut()
        assert (await one.models.complete(ask("while"))).usage.total.llm_calls == 1
        assert metrics.CACHE_AWAY._value.get() == 1
        looks = one.looks
        assert (await one.models.complete(ask("before"))).usage.total.cached_calls == 1
        assert (await one.models.complete(ask("while"))).usage.total.cached_calls == 1
        assert one.looks == looks
        await way.mend()
        await two.models.complete(ask("later"))
        await two.models.close()
        seen = 0
        async with asyncio.timeout(20):
            while metrics.CACHE_AWAY._value.get() == 1:
                seen += 1
                await one.models.complete(ask(f"again {seen}"))
                await asyncio.sleep(0.02)
        assert (await one.models.complete(ask("later"))).usage.total.cached_calls == 1


async def test_who_waits_when_redis_goes_away_asks_by_itself(redis_url: str) -> None:
    stuck = Options(Scripted(("all ", "is"), gate=asyncio.Event()))
    waiting = Options(flight=single_flight.Bounds(poll_s=0.05))
    async with way_to(redis_url) as (url, way), process(redis_url, stuck) as one, process(url, waiting) as two:
        leader = asyncio.create_task(one.models.complete(ask()))
        await until(lambda: one.calls == 1)
        other = asyncio.create_task(two.models.complete(ask()))
        await until(lambda: two.waits)
        await way.cut()
        assert (await other).usage.total.llm_calls == 1
        leader.cancel()


async def test_one_process_warms_up_and_the_others_find_it_kept(redis_url: str) -> None:
    requests = [ask(str(number)) for number in range(5)]
    async with process(redis_url) as one, process(redis_url) as two:
        both = [
            warm_up.run(each.models, requests, partial(each.shared.claim, "warm-up", for_s=60), limit_s=60)
            for each in (one, two)
        ]
        await asyncio.gather(*both)
        assert one.calls + two.calls == 5
        await one.models.close()
        await two.models.close()
        await one.client.delete(PREFIX + "lease:warm-up")
        await warm_up.run(two.models, requests, partial(two.shared.claim, "warm-up", for_s=60), limit_s=60)
        assert one.calls + two.calls == 5


def settings(redis_url: str, warm_up_file: Path | None, *, cache: bool = True) -> LlmSettings:
    url = SecretStr(redis_url)
    return LlmSettings(models_file=Path("unused"), redis_url=url, warm_up_file=warm_up_file, cache=cache)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm")
async def test_a_client_that_starts_warms_up_and_answers_the_next_one_from_redis(redis_url: str, tmp_path: Path) -> None:
    listed = tmp_path / "warm.yaml"
    listed.write_text("- {tenant: t, messages: [{role: user, content: hello}]}")
    async with openai_server() as server:
        known = Registry.of([ModelEntry(id="m", model="openai/m", api_base=server.base_url)])
        async with app.model_client(settings(redis_url, listed), known):
            await until(lambda: len(server.requests) == 1)
            async with aclosing(connect(redis_url, timeout_s=2, connections=1)) as client, asyncio.timeout(20):
                while not await client.keys(PREFIX + "value:*"):
                    await asyncio.sleep(0.01)
        async with app.model_client(settings(redis_url, None), known) as models:
            assert (await models.complete(ask())).usage.total.cached_calls == 1
            assert (await models.complete(ask(temperature=1.0))).usage.total.llm_calls == 1
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("text", "cache", "fault"),
    [
        (None, True, "cannot be read"),
        ("- {}", True, "1: 0.tenant: Field required"),
        ("- {}", False, "HEADRACE_LLM_CACHE is false"),
    ],
)
async def test_a_list_that_cannot_be_used_is_refused_at_the_start(
    redis_url: str, tmp_path: Path, text: str | None, cache: bool, fault: str
) -> None:
    listed = tmp_path / "warm.yaml"
    if text is not None:
        listed.write_text(text)
    with pytest.raises(InvalidWarmUp, match=fault):
        async with app.model_client(settings(redis_url, listed, cache=cache), Registry.of_names(["openai/m"])):
            pytest.fail("started")


def question(number: int, tenant: str = "t") -> Question:
    return Question(Key(tenant, f"{tenant}-{number}"), 2, "token")


def _text(name: object) -> str:
    assert isinstance(name, bytes)
    return name.decode()


async def index(client: redis.asyncio.Redis) -> dict[str, int]:
    """The size of each tenant's answers by the index, checked against what is there."""
    totals = {_text(name): int(size) for name, size in await client.zrange(PREFIX + "bytes", 0, -1, withscores=True)}  # type: ignore[str-unpack]
    everything = totals.pop("*", 0)
    assert everything == sum(totals.values())
    there = {_text(name).removeprefix(PREFIX + "value:") for name in await client.keys(PREFIX + "value:*")}
    listed = set()
    for tenant, size in totals.items():
        sizes = await client.hgetall(f"{PREFIX}sizes:{tenant}")
        assert size == sum(map(int, sizes.values()))
        assert set(await client.zrange(f"{PREFIX}ends:{tenant}", 0, -1)) == set(sizes)
        listed |= {f"{tenant}:{_text(name)}" for name in sizes}
    assert there <= listed
    return totals


@pytest.mark.parametrize("seed", range(4))
async def test_what_redis_keeps_is_bounded_and_the_index_is_true(redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    room = SharedRoom(total_bytes=20_000, value_bytes=9000)
    async with process(redis_url, Options(redis=room)) as one:
        short = RedisCache(one.client, replace(room, ttl_s=0.002))
        for _ in range(150):
            tenant, number = chance.choice("abc"), chance.randrange(40)
            text = chance.randbytes(chance.choice([10, 400, 2000])).hex()
            cache = chance.choice([one.shared, one.shared, short])
            await cache.settle(question(number, tenant), kept=Kept(text))
            assert sum((await index(one.client)).values()) <= 20_000
        assert sum((await index(one.client)).values()) > 10_000


async def test_who_keeps_most_loses_first_and_of_its_answers_the_oldest(redis_url: str) -> None:
    async with process(redis_url, Options(redis=SharedRoom(total_bytes=30_000))) as one:
        await one.shared.settle(question(0, "small"), kept=Kept("x"))
        for number in range(100):
            await one.shared.settle(question(number, "large"), kept=Kept(f"{number}"))
        sizes = await index(one.client)
        assert 27_000 < sum(sizes.values()) <= 30_000
        assert isinstance(await one.shared.look(question(0, "small")), Found)
        assert await one.shared.look(question(0, "large")) is Turn.MINE
        assert isinstance(await one.shared.look(question(99, "large")), Found)


async def test_an_index_that_redis_evicted_is_made_anew(redis_url: str) -> None:
    async with process(redis_url, Options(redis=SharedRoom(total_bytes=5_000))) as one:
        for number in range(8):
            await one.shared.settle(question(number), kept=Kept("x"))
        await one.client.delete(f"{PREFIX}ends:t", f"{PREFIX}sizes:t")
        for number in range(100, 120):
            await one.shared.settle(question(number, "u"), kept=Kept("x"))
        assert set(await one.client.zrange(PREFIX + "bytes", 0, -1)) == {b"*", b"u"}
        assert isinstance(await one.shared.look(question(119, "u")), Found)


async def test_keys_tell_no_text_and_values_end(redis_url: str) -> None:
    async with process(redis_url) as one:
        await one.models.complete(replace(ask("a secret"), tenant_id="school 1"))
        await one.models.close()
        names = str(await one.client.keys("*"))
        assert "secret" not in names
        assert "school" not in names
        (name,) = await one.client.keys(PREFIX + "value:*")
        assert 0 < await one.client.pttl(name) <= 3_600_000
        assert await one.client.keys(PREFIX + "lease:*") == []


async def _read(one: Process, request: ChatRequest) -> list[str | Restarted | Completion]:
    return [item async for item in one.models.stream(request)]
