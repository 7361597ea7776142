"""The schema and its upkeep: migrations, partitions, retention."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import resources

import asyncpg
import pytest
from headrace_executor.adapters.postgres import logs as logs_module
from headrace_executor.adapters.postgres.claims import ClaimStore
from headrace_executor.adapters.postgres.logs import LogStore
from headrace_executor.adapters.postgres.schema import SCHEMA
from headrace_executor.adapters.postgres.upkeep import UpkeepStore
from headrace_executor.runs import ids
from headrace_executor.runs.records import Chunk
from headrace_postgres.pool import Pool, open_pool

TODAY = datetime.now(UTC).date()


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Pool]:
    await SCHEMA.migrate(postgres_url)
    async with open_pool(postgres_url, application="test", size=3, statement_timeout_s=5, wait_s=5) as value:
        yield value


async def test_processes_that_start_together_migrate_once(postgres_url: str) -> None:
    await asyncio.gather(*(SCHEMA.migrate(postgres_url) for _ in range(4)))
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT count(*) FROM headrace_executor_migrations") == len(_migrations())
    await connection.close()


async def test_a_migration_that_was_applied_but_not_noted_is_applied_again(postgres_url: str) -> None:
    """A process killed between the two leaves exactly that."""
    await SCHEMA.migrate(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("DELETE FROM headrace_executor_migrations")
    await connection.execute("INSERT INTO headrace_executor_migrations_lock (pid) VALUES (1)")
    await SCHEMA.migrate(postgres_url)
    assert await connection.fetchval("SELECT count(*) FROM headrace_executor_migrations") == len(_migrations())
    await connection.close()


async def test_the_rollback_leaves_nothing(postgres_url: str) -> None:
    await SCHEMA.migrate(postgres_url)
    folder = resources.files("headrace_executor") / "migrations"
    connection = await asyncpg.connect(postgres_url)
    for entry in sorted(
        (e for e in folder.iterdir() if e.name.endswith(".rollback.sql")), key=lambda e: e.name, reverse=True
    ):
        await connection.execute(entry.read_text())
    left = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'headrace_%'"
    )
    await connection.close()
    assert left == []


async def test_partitions_are_made_ahead_by_any_number_of_processes(pool: Pool) -> None:
    store = UpkeepStore(pool)
    made = await asyncio.gather(*(store.partition(TODAY, ahead_days=3, keep_days=7) for _ in range(3)))
    assert max(new for new, _ in made) == 5
    assert await store.partition(TODAY, ahead_days=3, keep_days=7) == (0, 0)
    assert await store.partition(TODAY + timedelta(days=1), ahead_days=3, keep_days=7) == (1, 0)


async def test_what_the_default_partition_took_moves_to_its_day(pool: Pool) -> None:
    run_id = ids.new()
    await _log(pool, run_id)
    await UpkeepStore(pool).partition(TODAY, ahead_days=0, keep_days=7)
    assert await _count(pool, "events_default") == 0
    assert await _count(pool, f"events_{ids.day_of(run_id):%Y%m%d}") == 1
    assert [chunk.events for chunk in await LogStore(pool).read(run_id, after=0, limit=5)] == [(b"{}",)]


async def test_a_reader_is_given_no_more_than_its_bytes_at_once_and_all_in_the_end(pool: Pool) -> None:
    run_id, logs = ids.new(), LogStore(pool)
    sizes = [logs_module.READ_BYTES * 3, *([100_000] * 6), *([10] * 20)]
    for seq, size in enumerate(sizes, 1):
        await pool.execute(
            "INSERT INTO events (run_id, first_seq, last_seq, final, data) VALUES ($1, $2, $2, $3, $4)",
            run_id,
            seq,
            seq == len(sizes),
            b"x" * size,
        )
    pages: list[Sequence[Chunk]] = []
    while page := await logs.read(run_id, after=pages[-1][-1].last_seq if pages else 0, limit=16):
        pages.append(page)
    assert [chunk.last_seq for page in pages for chunk in page] == list(range(1, len(sizes) + 1))
    assert [len(page) for page in pages] == [1, 3, 3, 16, 4]


async def test_many_runs_are_read_in_so_many_bytes_together_the_first_of_each_first(pool: Pool) -> None:
    runs, logs = sorted(ids.new() for _ in range(4)), LogStore(pool)
    for run_id in runs:
        for seq in range(1, 6):
            await pool.execute(
                "INSERT INTO events (run_id, first_seq, last_seq, final, data) VALUES ($1, $2, $2, $3, $4)",
                run_id,
                seq,
                seq == 5,
                b"x" * 100_000,
            )
    after, pages = dict.fromkeys(runs, 0), list[list[tuple[str, int]]]()
    while found := await logs.read_many(after, limit=3, max_bytes=550_000):
        pages.append([(chunk.run_id, chunk.last_seq) for chunk in found])
        after |= {chunk.run_id: chunk.last_seq for chunk in found}
    assert pages[0] == [(runs[0], 1), (runs[0], 2), (runs[1], 1), (runs[1], 2), (runs[2], 1), (runs[3], 1)]
    assert [len(page) for page in pages] == [6, 6, 6, 2]
    assert sorted(one for page in pages for one in page) == [(run_id, seq) for run_id in runs for seq in range(1, 6)]
    assert len(await logs.read_many(dict.fromkeys(runs, 0), limit=3, max_bytes=10_000_000)) == 12


async def test_days_past_retention_are_dropped_and_the_default_partition_is_cleared(pool: Pool) -> None:
    store = UpkeepStore(pool)
    await store.partition(TODAY - timedelta(days=20), ahead_days=0, keep_days=30)
    await _log(pool, ids.first_of(TODAY - timedelta(days=20)))
    await _log(pool, ids.first_of(TODAY - timedelta(days=15)))
    await _log(pool, ids.new())
    added, dropped = await store.partition(TODAY, ahead_days=1, keep_days=7)
    assert (added, dropped) == (3, 2)
    assert await store.expire(TODAY, keep_log_days=7, keep_run_days=30, keep_usage_days=400) == 1
    assert await _count(pool, "events") == 1


async def test_only_finished_runs_go_and_their_steps_with_them(pool: Pool) -> None:
    old = TODAY - timedelta(days=40)
    done, left = await _run(pool, old, "succeeded"), await _run(pool, old, "queued")
    await pool.fetch("INSERT INTO steps (run_id, step, output, usage) VALUES ($1, 's', '', '')", done)
    assert await UpkeepStore(pool).expire(TODAY, keep_log_days=7, keep_run_days=30, keep_usage_days=400) == 1
    assert await _count(pool, "steps") == 0
    assert [row[0] for row in await pool.fetch("SELECT run_id::text FROM runs")] == [left]


async def test_a_run_that_is_given_up_counts_as_taken_over_and_only_for_its_owner(pool: Pool) -> None:
    store = ClaimStore(pool)
    await store.register("me", lease_s=60, slots=1)
    run_id = await _run(pool, TODAY, "queued")
    (claim,) = await store.claim("me", limit=1)
    await store.give_up(run_id, fence=claim.run.fence - 1)
    assert await store.claim("me", limit=1) == []
    await store.give_up(run_id, fence=claim.run.fence)
    (again,) = await store.claim("me", limit=1)
    assert (again.run.fence, again.run.attempt, again.takeovers) == (2, 2, 1)


async def test_a_lapsed_lease_neither_renews_nor_claims(pool: Pool) -> None:
    store = ClaimStore(pool)
    await store.register("late", lease_s=0, slots=1)
    await _run(pool, TODAY, "queued")
    assert await store.claim("late", limit=1) == []
    assert not (await store.renew("late", lease_s=60, seconds_per_run=0, finished=0)).held


def _migrations() -> list[str]:
    folder = resources.files("headrace_executor") / "migrations"
    return [e.name for e in folder.iterdir() if e.name.endswith(".sql") and not e.name.endswith(".rollback.sql")]


async def _log(pool: Pool, run_id: str) -> None:
    await pool.fetch("INSERT INTO events (run_id, first_seq, last_seq, final, data) VALUES ($1, 1, 1, false, '{}')", run_id)


async def _run(pool: Pool, day: date, state: str) -> str:
    run_id = ids.first_of(day)[:-12] + ids.new()[-12:]
    await pool.fetch(
        """INSERT INTO runs (run_id, tenant_id, request_hash, kind, priority, state, deadline, body, finished_at)
           VALUES ($1, 't', '', 'page', 1, $2, now() + interval '1 hour', '{}', CASE WHEN $2 <> 'queued' THEN now() END)""",
        run_id,
        state,
    )
    return run_id


async def _count(pool: Pool, table: str) -> int:
    row = await pool.fetchrow(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])
