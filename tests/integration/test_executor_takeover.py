"""Two executors on one database: deaths, zombies, drains. Nothing is lost, doubled or done twice."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor import events
from headrace_executor.adapters.postgres.claims import ClaimStore
from headrace_executor.adapters.postgres.flush import FlushStore
from headrace_executor.adapters.postgres.logs import LogStore
from headrace_executor.model import Outcome, RunState
from headrace_executor.ports import Journal
from headrace_executor.runs.records import Chunk, Ending, RunWrite
from headrace_postgres.pool import open_pool

from tests.support import agui
from tests.support.executor_durable import PAID, ScriptedPipeline, eventually, executor, settings


class Held:
    """Stops runs at one place until it is opened."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def before(self, journal: Journal, step: str) -> None:
        if step == self.at:
            self.reached.set()
            await self.open.wait()

    async def in_stream(self, journal: Journal, n: int) -> None:
        if n == 10:
            await journal.checkpoint("half", {}, usage=PAID)
            self.reached.set()
            await self.open.wait()


async def test_a_dead_owners_run_goes_on_elsewhere_within_five_seconds(postgres_url: str, redis_url: str) -> None:
    held = Held("node:b")
    first, second = ScriptedPipeline(in_stream=held.in_stream), ScriptedPipeline()
    async with executor(settings(postgres_url, redis_url), first) as dying:
        run = await dying.submit()
        await held.reached.wait()
        async with executor(settings(postgres_url, redis_url), second) as other:
            watching = asyncio.create_task(other.log(run.run_id))
            died = time.monotonic()
            await dying.stop()
            await eventually(lambda: bool(second.started), within_s=6)
            assert time.monotonic() - died < 5
            log = await watching
            done = await other.get(run.run_id)
    agui.check(log)
    assert done.state == pb.RUN_STATE_SUCCEEDED
    assert done.attempt == 2
    assert [step for _, step in first.executed] == ["route", "plan", "node:a"]
    assert [step for _, step in second.executed] == ["node:b"]
    restarted = [event["value"] for event in log if event.get("name") == "headrace.restarted"]
    assert restarted == [{"step": "node:b", "message_id": f"{run.run_id}:b"}]
    assert agui.text(log, f"{run.run_id}:b:2") == "".join(f"t{n} " for n in range(20))
    assert done.usage.llm_calls == 5


async def test_a_zombies_writes_are_refused_and_its_neighbours_are_not(postgres_url: str) -> None:
    quiet = ScriptedPipeline()
    async with executor(settings(postgres_url, notice_s=600), quiet) as one, _stores(postgres_url) as stores:
        claims, flushes, logs = stores
        await one.durable.worker.drain(0)
        lost, kept = await one.submit(), await one.submit()
        await claims.register("zombie", lease_s=60, slots=9)
        owned = {claim.run.run_id: claim.run for claim in await claims.claim("zombie", limit=9)}
        assert set(owned) == {lost.run_id, kept.run_id}
        await claims.resign("zombie")
        await claims.register("heir", lease_s=60, slots=9)
        taken = await claims.claim("heir", limit=1)
        assert [(c.run.run_id, c.run.fence, c.takeovers) for c in taken] == [(lost.run_id, 2, 1)]
        writes = [
            RunWrite(run_id, run.fence, run.session_id, Chunk(run_id, 2, (b'{"type":"CUSTOM"}',)))
            for run_id, run in owned.items()
        ]
        assert await flushes.write(writes) == {kept.run_id}
        assert [c.last_seq for c in await logs.read(lost.run_id, after=0, limit=9)] == [1]
        assert [c.last_seq for c in await logs.read(kept.run_id, after=0, limit=9)] == [1, 2]
        assert await claims.claim("zombie", limit=9) == []


async def test_a_flush_whose_answer_was_lost_may_come_again(postgres_url: str) -> None:
    async with executor(settings(postgres_url, notice_s=600), ScriptedPipeline()) as one, _stores(postgres_url) as stores:
        claims, flushes, logs = stores
        await one.durable.worker.drain(0)
        run = await one.submit()
        await claims.register("me", lease_s=60, slots=9)
        (claim,) = await claims.claim("me", limit=1)
        ending = Ending(RunState.SUCCEEDED, output=b"{}", usage=b"{}", reply="once")
        write = RunWrite(
            run.run_id, claim.run.fence, run.session_id, Chunk(run.run_id, 2, (b"{}",), final=True), (), ending
        )
        assert await flushes.write([write]) == await flushes.write([write]) == {run.run_id}
        assert len(await logs.read(run.run_id, after=0, limit=9)) == 2
        request = pb.ListMessagesRequest(tenant_id="t", session_id=run.session_id)
        said = [m.text for m in (await one.sessions.ListMessages(request)).messages]
        assert said == ["hi", "once"]


async def test_after_three_takeovers_of_one_step_the_run_fails(postgres_url: str) -> None:
    async with executor(settings(postgres_url, poll_s=0.05), _Broken()) as one:
        run = await one.submit()
        log = await one.log(run.run_id)
        done = await one.get(run.run_id)
    agui.check(log)
    assert done.state == pb.RUN_STATE_FAILED
    assert done.error.code == "internal"
    assert "taken over 3 times" in done.error.message
    assert done.attempt == 4


class _Broken:
    """Leaves each run as a killed process would: by a lost lease."""

    async def run(self, journal: Any) -> Outcome:
        journal.emit(events.step_started("route"))
        await journal.drained()
        journal.lose()
        journal.emit(events.step_finished("route"))
        raise AssertionError("a lost journal refuses events")


async def test_a_drained_executor_hands_its_runs_back_at_once(postgres_url: str, redis_url: str) -> None:
    held = Held("node:a")
    first, second = ScriptedPipeline(before=held.before), ScriptedPipeline()
    async with executor(settings(postgres_url, redis_url, drain_s=1), first) as leaving:
        runs = [await leaving.submit() for _ in range(5)]
        await held.reached.wait()
        async with executor(settings(postgres_url, redis_url), second) as other:
            watching = [asyncio.create_task(other.log(run.run_id)) for run in runs]
            began = time.monotonic()
            await leaving.durable.drain()
            logs = await asyncio.gather(*watching)
            assert time.monotonic() - began < 3
            done = [await other.get(run.run_id) for run in runs]
    for log in logs:
        agui.check(log)
    assert {(run.state, run.attempt) for run in done} == {(pb.RUN_STATE_SUCCEEDED, 2)}
    executed = first.executed + second.executed
    assert len(executed) == len(set(executed)) == 20


async def test_a_drain_lets_runs_finish_that_can(postgres_url: str, redis_url: str) -> None:
    held = Held("node:a")
    async with executor(settings(postgres_url, redis_url, drain_s=20), ScriptedPipeline(before=held.before)) as one:
        run = await one.submit()
        await held.reached.wait()
        draining = asyncio.create_task(one.durable.drain())
        late = await one.submit()
        held.open.set()
        await draining
        assert (await one.get(run.run_id)).state == pb.RUN_STATE_SUCCEEDED
        assert (await one.get(late.run_id)).state == pb.RUN_STATE_QUEUED


async def test_watchers_at_random_places_miss_and_double_nothing_while_owners_die(
    postgres_url: str, redis_url: str
) -> None:
    chance = random.Random(7)

    async def linger(journal: Journal, n: int) -> None:
        await asyncio.sleep(chance.random() * 0.02)

    config = settings(postgres_url, redis_url, lease_s=0.6, heartbeat_s=0.15, poll_s=0.1, watch_poll_s=0.2, slots=8)
    pipelines = [ScriptedPipeline(in_stream=linger, tokens=60) for _ in range(2)]
    async with executor(config, pipelines[0]) as dying, executor(config, pipelines[1]) as other:
        runs = [await chance.choice((dying, other)).submit() for _ in range(12)]
        whole = [asyncio.create_task(other.log(run.run_id)) for run in runs]
        await eventually(lambda: len(pipelines[0].executed) >= 3)
        early = [asyncio.create_task(_follow(other, run.run_id, chance.randrange(4))) for run in runs for _ in range(5)]
        await dying.stop()
        logs = dict(zip([run.run_id for run in runs], await asyncio.gather(*whole), strict=True))
        late = [
            asyncio.create_task(_follow(other, run.run_id, chance.randrange(len(logs[run.run_id]))))
            for run in runs
            for _ in range(10)
        ]
        for run_id, after, seen in await asyncio.gather(*early, *late):
            assert seen == logs[run_id][after:]
    for log in logs.values():
        agui.check(log)
        assert log[-1]["type"] == "RUN_FINISHED"


async def _follow(other: Any, run_id: str, after: int) -> tuple[str, int, list[Any]]:
    await eventually(lambda: _has(other, run_id, after))
    return run_id, after, await other.log(run_id, after=after)


async def _has(other: Any, run_id: str, seq: int) -> bool:
    return bool((await other.get(run_id)).last_seq >= seq)


@asynccontextmanager
async def _stores(url: str) -> AsyncIterator[tuple[ClaimStore, FlushStore, LogStore]]:
    async with open_pool(url, application="test", size=2, statement_timeout_s=5, wait_s=5) as pool:
        yield ClaimStore(pool), FlushStore(pool), LogStore(pool)
