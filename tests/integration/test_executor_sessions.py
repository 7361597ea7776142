"""How sessions end and how many there may be, on real Postgres."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, date, datetime, timedelta

import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import memories_pb2
from headrace_executor.adapters.postgres import upkeep as upkeep_module
from headrace_executor.adapters.postgres.schema import SCHEMA
from headrace_executor.adapters.postgres.upkeep import UpkeepStore
from headrace_executor.runs import ids
from headrace_postgres.pool import Pool, open_pool
from headrace_runtime import channels, errors

from tests.support.executor_durable import Executor, ScriptedPipeline, eventually, executor, refused, settings

TODAY = datetime.now(UTC).date()
KEEP = 180


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Pool]:
    await SCHEMA.migrate(postgres_url)
    async with open_pool(postgres_url, application="test", size=8, statement_timeout_s=20, wait_s=5) as value:
        yield value


async def test_sessions_that_nobody_uses_go_with_what_they_hold(pool: Pool) -> None:
    unused, used = await _session(pool, KEEP + 1), await _session(pool, KEEP)
    for session_id in (unused, used):
        await _say(pool, session_id, 3)
        await pool.execute(
            "INSERT INTO memories (session_id, key, value, text, metadata) VALUES ($1, 'k', '1', '1', '{}')", session_id
        )
    done = await _run(pool, unused, "succeeded")
    assert await UpkeepStore(pool).expire_sessions(TODAY, keep_days=KEEP) == 1
    assert await _ids(pool, "SELECT session_id::text FROM sessions") == [used]
    assert await _ids(pool, "SELECT DISTINCT session_id::text FROM messages") == [used]
    assert await _ids(pool, "SELECT session_id::text FROM memories") == [used]
    assert await _ids(pool, "SELECT run_id::text FROM runs WHERE session_id IS NULL") == [done]


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_a_session_stays_while_a_run_of_it_is_not_finished(pool: Pool, state: str) -> None:
    busy, _ = await _session(pool, KEEP + 9), await _session(pool, KEEP + 8)
    run_id = await _run(pool, busy, state)
    store = UpkeepStore(pool)
    assert [await store.expire_sessions(TODAY, keep_days=KEEP) for _ in range(2)] == [1, 0]
    await pool.execute("UPDATE runs SET state = 'failed', owner = NULL, finished_at = now() WHERE run_id = $1", run_id)
    assert await store.expire_sessions(TODAY, keep_days=KEEP) == 1


async def test_a_batch_takes_few_sessions_that_hold_much_and_at_least_one(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "HELD_BATCH", 5)
    for n, held in enumerate((9, 3, 2, 1)):
        await _say(pool, await _session(pool, KEEP + 9 - n), held)
    store = UpkeepStore(pool)
    assert [await store.expire_sessions(TODAY, keep_days=KEEP) for _ in range(4)] == [1, 2, 1, 0]


async def test_whoever_uses_a_session_while_it_is_looked_at_keeps_it(pool: Pool) -> None:
    """A submission that has not committed is passed over; one that has is seen."""
    session_id = await _session(pool, KEEP + 1)
    store = UpkeepStore(pool)
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(_INSERT_RUN, ids.new(), session_id, "queued")
        assert await store.expire_sessions(TODAY, keep_days=KEEP) == 0
    assert await store.expire_sessions(TODAY, keep_days=KEEP) == 0
    assert await _ids(pool, "SELECT session_id::text FROM runs") == [session_id]


async def test_removals_and_submissions_at_once_never_part_a_run_from_its_session(postgres_url: str, pool: Pool) -> None:
    """Whichever is first: the run is accepted and its session stays, or it is refused and the session goes."""
    async with executor(settings(postgres_url), ScriptedPipeline(steps=("a",), tokens=1)) as one:
        store, accepted = UpkeepStore(pool), set[str]()

        async def submit(session_id: str) -> None:
            if await _refusal(one.submit(session_id=session_id)) is None:
                accepted.add(session_id)

        async def remove() -> None:
            await store.expire_sessions(TODAY, keep_days=KEEP)

        for _ in range(10):
            sessions = [await _session(pool, KEEP + 1) for _ in range(12)]
            await asyncio.gather(*map(submit, sessions[:4]), remove(), *map(submit, sessions[4:]), remove())
        assert set(await _ids(pool, "SELECT session_id::text FROM sessions")) == accepted
        assert set(await _ids(pool, "SELECT session_id::text FROM runs")) == accepted


async def test_runs_and_memories_use_their_session(postgres_url: str, pool: Pool) -> None:
    async with executor(settings(postgres_url), ScriptedPipeline(steps=("a",), tokens=1)) as one:
        by_run, by_thread, by_memory, idle = [await _session(pool, 90) for _ in range(4)]
        await pool.execute("UPDATE sessions SET thread_id = 'name' WHERE session_id = $1", by_thread)
        await one.submit(session_id=by_run)
        assert (await one.submit(thread_id="name")).session_id == by_thread
        write = memories_pb2.PutMemoryRequest(tenant_id="t", session_id=by_memory, key="k", value=b'"v"')
        await channels.unary(one.memories.PutMemory, write, timeout_s=20)
        stranger = await refused(one.submit(session_id=idle, tenant="other"))
        assert stranger.reason == "SESSION_NOT_FOUND"
        used = {
            row["session_id"]: row["used_on"] for row in await pool.fetch("SELECT session_id::text, used_on FROM sessions")
        }
        assert used == {by_run: TODAY, by_thread: TODAY, by_memory: TODAY, idle: TODAY - timedelta(days=90)}


async def test_a_refused_run_leaves_no_session(postgres_url: str, pool: Pool) -> None:
    async with executor(settings(postgres_url, max_queued=1, slots=1), ScriptedPipeline(before=_never)) as one:
        await one.submit(message="runs")
        await one.submit(message="waits")
        kept = await _ids(pool, "SELECT session_id::text FROM sessions")
        for fields in ({}, {"thread_id": "a name"}):
            assert (await refused(one.submit(**fields))).reason == "QUEUE_FULL"
        assert (await refused(one.submit(thread_id="a name", body=b'{"message": 1}'))).reason
        assert await _ids(pool, "SELECT session_id::text FROM sessions") == kept


async def test_a_thread_that_begins_at_two_executors_is_one_session(postgres_url: str, pool: Pool) -> None:
    pipeline = ScriptedPipeline(steps=("a",), tokens=1)
    async with executor(settings(postgres_url), pipeline) as one, executor(settings(postgres_url), pipeline) as two:
        names = [f"name {n}" for n in range(6)]
        runs = await asyncio.gather(*(each.submit(thread_id=name) for name in names for each in (one, two, one)))
        assert len({run.session_id for run in runs}) == len(names)
        assert len({run.run_id for run in runs}) == 3 * len(names)
        assert await _ids(pool, "SELECT DISTINCT thread_id FROM sessions") == names
        for run in runs:
            assert (await one.log(run.run_id))[0]["threadId"] == run.session_id


async def test_a_tenant_has_no_more_sessions_than_it_may(postgres_url: str, pool: Pool) -> None:
    config = settings(postgres_url, max_sessions_per_tenant=5)
    async with executor(config, ScriptedPipeline(steps=("a",), tokens=1)) as one:
        opened = await asyncio.gather(*(_refusal(one.submit(thread_id=f"n{n}" if n % 2 else "")) for n in range(8)))
        assert sorted(reason or "" for reason in opened) == [""] * 5 + ["TOO_MANY_SESSIONS"] * 3
        error = await refused(_create(one))
        assert (type(error), error.reason) == (errors.ResourceExhausted, "TOO_MANY_SESSIONS")
        assert "max_sessions_per_tenant" in error.message
        assert await _refusal(one.submit(tenant="other")) is None
        (known, *_) = await _ids(pool, "SELECT session_id::text FROM sessions WHERE tenant_id = 't'")
        assert await _refusal(one.submit(session_id=known)) is None, "those that there are can be used"

        async def idle() -> bool:
            return not await _ids(pool, "SELECT run_id::text FROM runs WHERE finished_at IS NULL")

        await eventually(idle)
        gone = pb.DeleteSessionRequest(tenant_id="t", session_id=known)
        await channels.unary(one.sessions.DeleteSession, gone, timeout_s=20)

        async def admitted() -> bool:
            return await _refusal(one.submit()) is None

        await eventually(admitted)


async def test_the_limit_holds_for_sessions_that_are_opened_at_once(postgres_url: str, pool: Pool) -> None:
    config = settings(postgres_url, max_sessions_per_tenant=5)
    async with executor(config, ScriptedPipeline()) as one, executor(config, ScriptedPipeline()) as two:
        opened = await asyncio.gather(*(_refusal(_create(each)) for each in (one, two) * 5))
        assert sorted(reason or "" for reason in opened) == [""] * 5 + ["TOO_MANY_SESSIONS"] * 5
    assert len(await _ids(pool, "SELECT session_id::text FROM sessions")) == 5


async def test_the_same_request_opens_one_session_and_another_is_refused(postgres_url: str) -> None:
    async with executor(settings(postgres_url, max_sessions_per_tenant=2), ScriptedPipeline()) as one:
        made = await asyncio.gather(*(_create(one, request_id="r", title="Rivers") for _ in range(5)))
        assert len({session.session_id for session in made}) == 1
        other = await refused(_create(one, request_id="r", title="Seas"))
        assert (type(other), other.reason) == (errors.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
        await _create(one)
        again = await _create(one, request_id="r", title="Rivers")
        assert again.session_id == made[0].session_id, "also when there is no room for another"


async def test_the_oldest_messages_of_a_long_session_go(pool: Pool) -> None:
    long, short, idle = await _session(pool, 0), await _session(pool, 0), await _session(pool, 0)
    for session_id, count in ((long, 250), (short, 100), (idle, 250)):
        await _say(pool, session_id, count)
    for session_id in (long, short):
        await _run(pool, session_id, "succeeded")
    assert await UpkeepStore(pool).trim_messages(TODAY, keep=100) == 150
    assert await UpkeepStore(pool).trim_messages(TODAY, keep=100) == 0
    left = await pool.fetch("SELECT body FROM messages WHERE session_id = $1 ORDER BY position", long)
    assert [row["body"] for row in left] == [str(n) for n in range(150, 250)]


async def test_a_look_for_unused_sessions_reads_only_those(pool: Pool) -> None:
    await pool.execute(
        """INSERT INTO sessions (session_id, tenant_id, used_on)
           SELECT gen_random_uuid(), 't' || n % 50, $1::date - (n % 100) FROM generate_series(1, 50000) n""",
        TODAY,
    )
    await pool.execute("ANALYZE sessions")
    await _session(pool, KEEP + 1)
    plan = await pool.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {upkeep_module._UNUSED}", TODAY - timedelta(days=KEEP), 1000)
    text = str(plan[0][0])
    assert "sessions_by_use" in text
    assert "Seq Scan" not in text


_INSERT_RUN = """
INSERT INTO runs (run_id, tenant_id, session_id, request_hash, kind, priority, state, owner, deadline, body, finished_at)
VALUES ($1, 't', $2, '', 'page', 1, $3, CASE WHEN $3 = 'running' THEN 'somebody' END, now() + interval '1 hour', '{}',
        CASE WHEN $3 NOT IN ('queued', 'running') THEN now() END)
"""


async def _session(pool: Pool, unused_days: int) -> str:
    session_id = ids.new()
    used_on: date = TODAY - timedelta(days=unused_days)
    await pool.execute("INSERT INTO sessions (session_id, tenant_id, used_on) VALUES ($1, 't', $2)", session_id, used_on)
    return session_id


async def _run(pool: Pool, session_id: str, state: str) -> str:
    run_id = ids.new()
    await pool.execute(_INSERT_RUN, run_id, session_id, state)
    return run_id


async def _say(pool: Pool, session_id: str, count: int) -> None:
    await pool.execute(
        """INSERT INTO messages (message_id, session_id, run_id, role, body)
           SELECT gen_random_uuid(), $1, gen_random_uuid(), 'user', (n - 1)::text FROM generate_series(1, $2::integer) n""",
        session_id,
        count,
    )


async def _ids(pool: Pool, query: str) -> list[str]:
    return sorted(row[0] for row in await pool.fetch(query))


async def _create(one: Executor, *, request_id: str = "", title: str = "") -> pb.Session:
    request = pb.CreateSessionRequest(tenant_id="t", request_id=request_id, title=title)
    answer: pb.CreateSessionResponse = await channels.unary(one.sessions.CreateSession, request, timeout_s=20)
    return answer.session


async def _refusal(call: Awaitable[object]) -> str | None:
    """Why a call is refused, None when it is not."""
    try:
        await call
    except errors.ServiceError as error:
        return error.reason
    return None


async def _never(*_: object) -> None:
    await asyncio.Event().wait()
