"""Runs through one executor on real Postgres and Valkey."""

import asyncio

import asyncpg
from headrace.executor.v1 import executor_pb2 as pb

from tests.support import agui
from tests.support.executor_durable import ScriptedPipeline, executor, settings


async def test_a_run_goes_from_submission_to_its_last_event(postgres_url: str, redis_url: str) -> None:
    async with executor(settings(postgres_url, redis_url), ScriptedPipeline()) as one:
        run = await one.submit(message="hello")
        log = await one.log(run.run_id)
        agui.check(log)
        done = await one.get(run.run_id)
        assert done.state == pb.RUN_STATE_SUCCEEDED
        assert done.output == b'{"reply":"done"}'
        assert done.last_seq == len(log)
        assert done.usage.llm_calls == 4
        assert log[-1]["usage"][0]["totalTokens"] == 60
        assert log[-2]["name"] == "headrace.usage"
        assert agui.text(log, f"{run.run_id}:b") == "".join(f"t{n} " for n in range(20))


async def test_two_hundred_runs_at_once_all_end_well(postgres_url: str, redis_url: str) -> None:
    pipeline = ScriptedPipeline()
    async with executor(settings(postgres_url, redis_url, slots=32), pipeline) as one:
        runs = await asyncio.gather(*(one.submit(tenant=f"t{n % 7}") for n in range(200)))
        logs = await asyncio.gather(*(one.log(run.run_id, tenant=run.tenant_id) for run in runs))
        for log in logs:
            agui.check(log)
        assert len(set(pipeline.executed)) == len(pipeline.executed) == 800


async def test_an_executor_starts_while_another_is_making_the_partitions(postgres_url: str, redis_url: str) -> None:
    async with executor(settings(postgres_url, redis_url), ScriptedPipeline()):
        pass
    busy = await asyncpg.connect(postgres_url)
    try:
        tables = await busy.fetch("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass")
        for (table,) in tables:
            if table != "events_default":
                await busy.execute(f"DROP TABLE {table}")
        async with busy.transaction():
            await busy.execute("SELECT pg_advisory_xact_lock(hashtext('headrace_executor_partitions'))")
            async with executor(settings(postgres_url, redis_url), ScriptedPipeline()) as one:
                run = await one.submit(message="hello")
                agui.check(await one.log(run.run_id))
                assert (await one.get(run.run_id)).state == pb.RUN_STATE_SUCCEEDED
    finally:
        await busy.close()
