"""Parts that go away: Redis emptied or absent, Postgres dropping every connection. Time is lost, nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import redis.asyncio
from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor.ports import Journal

from tests.support import agui
from tests.support.executor_durable import ScriptedPipeline, eventually, executor, settings


async def slowly(journal: Journal, n: int) -> None:
    await asyncio.sleep(0.01)


async def test_emptying_redis_in_the_middle_of_ten_runs_loses_nothing(postgres_url: str, redis_url: str) -> None:
    config = settings(postgres_url, redis_url)
    pipelines = [ScriptedPipeline(in_stream=slowly, tokens=80), ScriptedPipeline()]
    client = redis.asyncio.from_url(redis_url)
    async with executor(config, pipelines[0]) as owner, executor(config, pipelines[1]) as other:
        runs = await asyncio.gather(*(owner.submit() for _ in range(10)))
        watching = [asyncio.create_task(other.log(run.run_id)) for run in runs]
        await eventually(lambda: len(pipelines[0].executed) >= 10)
        await client.flushall()
        await client.execute_command("CLIENT KILL TYPE pubsub")  # type: ignore[no-untyped-call]
        for log in await asyncio.gather(*watching):
            agui.check(log)
    await client.aclose()


async def test_without_redis_another_executors_runs_are_watched_all_the_same(postgres_url: str) -> None:
    config = settings(postgres_url, "redis://127.0.0.1:1/0")
    async with executor(config, ScriptedPipeline()) as owner, executor(settings(postgres_url), ScriptedPipeline()) as other:
        run = await owner.submit()
        agui.check(await other.log(run.run_id))


async def test_a_lost_hint_costs_a_waiting_run_one_poll(postgres_url: str) -> None:
    """The submitting executor has no slot left; the other one hears nothing and looks."""
    blocked = ScriptedPipeline(before=lambda journal, step: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    free = ScriptedPipeline()
    async with executor(settings(postgres_url, slots=1), blocked) as full:
        await full.submit()
        await eventually(lambda: bool(blocked.started))
        async with executor(settings(postgres_url, poll_s=0.1), free) as other:
            run = await full.submit()
            assert (await other.get(run.run_id, wait_s=10)).state == pb.RUN_STATE_SUCCEEDED


async def test_runs_survive_every_connection_to_postgres_being_cut(postgres_url: str) -> None:
    pipeline = ScriptedPipeline(in_stream=slowly, tokens=60)
    async with executor(settings(postgres_url), pipeline) as one:
        runs = await asyncio.gather(*(one.submit() for _ in range(20)))
        watching = [asyncio.create_task(one.log(run.run_id)) for run in runs]
        admin = await asyncpg.connect(postgres_url)
        for _ in range(4):
            await asyncio.sleep(0.1)
            await admin.fetch(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            )
        await admin.close()
        for log in await asyncio.gather(*watching):
            agui.check(log)
            assert log[-1]["type"] == "RUN_FINISHED"
        assert len(pipeline.executed) == len(set(pipeline.executed)) == 80


async def test_an_outage_longer_than_the_lease_stops_the_owner_and_the_run_goes_on_afterwards(postgres_url: str) -> None:
    """Connections are refused for two lease times; then the same process claims its run anew."""
    config = settings(postgres_url, lease_s=0.6, heartbeat_s=0.1, poll_s=0.1, statement_timeout_s=1)
    pipeline = ScriptedPipeline(in_stream=slowly, tokens=200)
    database = postgres_url.rpartition("/")[2]
    admin = await asyncpg.connect(postgres_url.replace(database, "postgres"))
    async with _closed(admin), executor(config, pipeline) as one:
        run = await one.submit()
        await eventually(lambda: len(pipeline.executed) == 3)
        await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database)
        await eventually(lambda: not one.durable.lease.valid())
        await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        async with asyncio.timeout(20):
            await eventually(one.durable.lease.valid)
            log = await one.log(run.run_id)
        agui.check(log)
        done = await one.get(run.run_id)
    assert (done.state, done.attempt) == (pb.RUN_STATE_SUCCEEDED, 2)
    assert len(pipeline.executed) == len(set(pipeline.executed)) == 4


async def test_an_executor_that_is_told_to_end_while_the_database_is_away_ends_in_order(postgres_url: str) -> None:
    database = postgres_url.rpartition("/")[2]
    admin = await asyncpg.connect(postgres_url.replace(database, "postgres"))
    async with _closed(admin), executor(settings(postgres_url, statement_timeout_s=1), ScriptedPipeline()) as one:
        await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database)
        await one.durable.drain()
        assert not one.durable.lease.valid()
        await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


@asynccontextmanager
async def _closed(connection: Any) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await connection.close()
