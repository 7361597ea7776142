"""The queue on real Postgres: admission, idempotency, turns between tenants, cancelling, deadlines, notices."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import asyncpg
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor.adapters.postgres.claims import ClaimStore
from headrace_executor.adapters.postgres.schema import SCHEMA
from headrace_executor.ports import Journal
from headrace_executor.runs import ids
from headrace_llm.client import ModelSignals
from headrace_llm.client import Priority as CallPriority
from headrace_postgres.pool import open_pool

from tests.support import agui
from tests.support.executor_durable import ScriptedPipeline, eventually, executor, refused, settings
from tests.support.models import ScriptedModels


async def hold(journal: Journal, step: str) -> None:
    """Work that never ends by itself."""
    await asyncio.Event().wait()


async def test_one_key_makes_one_run_whoever_is_asked(postgres_url: str) -> None:
    pipeline = ScriptedPipeline()
    config = settings(postgres_url)
    async with executor(config, pipeline) as one, executor(config, pipeline) as two:
        asked = [(one, two)[n % 2].submit(request_id="key", message="same") for n in range(60)]
        runs = await asyncio.gather(*asked)
        assert len({run.run_id for run in runs}) == 1
        await one.log(runs[0].run_id)
        assert pipeline.started == [runs[0].run_id]
        other = await refused(two.submit(request_id="key", message="different"))
        assert other.reason == "IDEMPOTENCY_KEY_REUSED"
        elsewhere = await two.submit(tenant="u", request_id="key", message="different")
        assert elsewhere.run_id != runs[0].run_id
        listed = await one.runs.ListRuns(pb.ListRunsRequest(tenant_id="t"))
        assert len(listed.runs) == 1
        sessions = await one.sessions.ListSessions(pb.ListSessionsRequest(tenant_id="t"))
        assert len(sessions.sessions) == 1


async def test_a_full_queue_refuses_with_the_time_to_come_back(postgres_url: str) -> None:
    config = settings(postgres_url, slots=1, max_queued=6, max_queued_per_tenant=3)
    async with executor(config, ScriptedPipeline(before=hold)) as one:
        await one.submit(tenant="a")
        answers = await asyncio.gather(*(one.submit(tenant="a") for _ in range(9)), return_exceptions=True)
        assert sum(isinstance(answer, pb.Run) for answer in answers) == 3
        error = await refused(one.submit(tenant="a"))
        assert error.reason == "QUEUE_FULL"
        assert error.retry_after_s is not None
        assert 1 <= error.retry_after_s <= 60
        for _ in range(3):
            await one.submit(tenant="b")
        assert "no more than 6" in (await refused(one.submit(tenant="c"))).message


@pytest.mark.parametrize("seed", range(5))
async def test_claims_follow_priority_then_tenants_in_turn_then_age(postgres_url: str, seed: int) -> None:
    """Against a model in plain Python, claim by claim."""
    chance = random.Random(seed)
    await SCHEMA.migrate(postgres_url)
    async with open_pool(postgres_url, application="test", size=1, statement_timeout_s=5, wait_s=5) as pool:
        store = ClaimStore(pool)
        await store.register("me", lease_s=60, slots=99)
        waiting: list[tuple[int, str, str]] = []
        for _ in range(120):
            run_id, tenant, priority = ids.new(), f"t{int(chance.random() ** 3 * 8)}", chance.randint(1, 3)
            waiting.append((priority, tenant, run_id))
            await _insert(pool, run_id, tenant, priority)
        running: Counter[str] = Counter()
        while waiting:
            limit = chance.randint(1, 9)
            claimed = {claim.run.run_id for claim in await store.claim("me", limit=limit)}
            expected = _next(waiting, running, limit)
            assert claimed == {run_id for _, _, run_id in expected}
            for one in expected:
                waiting.remove(one)
                running[one[1]] += 1


def _next(waiting: list[tuple[int, str, str]], running: Counter[str], limit: int) -> list[tuple[int, str, str]]:
    ranked = []
    ranks: dict[tuple[int, str], int] = defaultdict(int)
    for priority, tenant, run_id in sorted(waiting, key=lambda one: one[2]):
        ranks[priority, tenant] += 1
        ranked.append((priority, ranks[priority, tenant] + running[tenant], run_id, tenant))
    return [(priority, tenant, run_id) for priority, _, run_id, tenant in sorted(ranked)[:limit]]


async def _insert(pool: Any, run_id: str, tenant: str, priority: int) -> None:
    await pool.fetch(
        """INSERT INTO runs (run_id, tenant_id, request_hash, kind, priority, state, deadline, body)
           VALUES ($1, $2, '', 'conversation', $3, 'queued', now() + interval '1 hour', '{}')""",
        run_id,
        tenant,
        priority,
    )


async def test_two_claimers_never_get_the_same_run(postgres_url: str) -> None:
    await SCHEMA.migrate(postgres_url)
    async with open_pool(postgres_url, application="test", size=4, statement_timeout_s=5, wait_s=5) as pool:
        store = ClaimStore(pool)
        for n in range(4):
            await store.register(f"e{n}", lease_s=60, slots=99)
        for n in range(300):
            await _insert(pool, ids.new(), f"t{n % 5}", 1)

        async def claim_all(me: str) -> list[str]:
            mine: list[str] = []
            while found := await store.claim(me, limit=7):
                mine += [claim.run.run_id for claim in found]
            return mine

        claimed = [one for found in await asyncio.gather(*(claim_all(f"e{n}") for n in range(4))) for one in found]
        assert len(claimed) == len(set(claimed)) == 300


async def test_a_small_tenant_does_not_wait_behind_a_large_one(postgres_url: str) -> None:
    order: list[str] = []

    async def note(journal: Journal, step: str) -> None:
        if step == "route":
            order.append(journal.run.tenant_id)
            await asyncio.sleep(0.01)

    async with executor(settings(postgres_url, slots=2), ScriptedPipeline(before=note)) as one:
        large = await asyncio.gather(*(one.submit(tenant="large") for _ in range(30)))
        small = await asyncio.gather(*(one.submit(tenant="small") for _ in range(3)))
        for run in (*large, *small):
            await one.get(run.run_id, tenant=run.tenant_id, wait_s=20)
    arrived = order.index("small")
    assert order[arrived : arrived + 6].count("small") >= 2


async def test_a_queued_run_is_cancelled_at_once(postgres_url: str) -> None:
    async with executor(settings(postgres_url, slots=1), ScriptedPipeline(before=hold)) as one:
        await one.submit()
        queued = await one.submit()
        watching = asyncio.create_task(one.log(queued.run_id))
        cancelled = await one.cancel(queued.run_id)
        assert cancelled.state == pb.RUN_STATE_CANCELLED
        log = await watching
        agui.check(log)
        assert log[-1]["outcome"] == {"type": "cancelled"}
        assert (await refused(one.cancel(queued.run_id))).reason == "RUN_ENDED"


@pytest.mark.parametrize("hinted", [True, False])
async def test_a_running_run_is_cancelled_through_any_executor(postgres_url: str, redis_url: str, hinted: bool) -> None:
    config = settings(postgres_url, redis_url if hinted else "")
    stopped = asyncio.Event()

    async def stop(journal: Journal, step: str) -> None:
        try:
            await hold(journal, step)
        finally:
            stopped.set()

    async with executor(config, ScriptedPipeline(before=stop)) as owner, executor(config, ScriptedPipeline()) as other:
        run = await owner.submit()
        watching = asyncio.create_task(other.log(run.run_id))
        await other.cancel(run.run_id)
        log = await watching
        assert stopped.is_set()
        agui.check(log)
        assert log[-1]["outcome"] == {"type": "cancelled"}
        assert (await other.get(run.run_id)).state == pb.RUN_STATE_CANCELLED


async def test_a_run_past_its_deadline_fails_running_or_queued(postgres_url: str) -> None:
    config = settings(postgres_url, slots=1, run_deadline_s=0.6)
    async with executor(config, ScriptedPipeline(before=hold)) as one:
        runs = [await one.submit(), await one.submit()]
        for run in runs:
            log = await one.log(run.run_id)
            agui.check(log)
            assert log[-1]["code"] == "deadline"
            assert (await one.get(run.run_id)).error.code == "deadline"


async def test_a_waiting_run_hears_of_its_place_as_it_changes(postgres_url: str) -> None:
    release = asyncio.Event()

    async def wait(journal: Journal, step: str) -> None:
        await release.wait()

    async with executor(settings(postgres_url, slots=1), ScriptedPipeline(before=wait)) as one:
        await one.submit()
        second, third = await one.submit(), await one.submit()
        told: list[Any] = []

        async def listen() -> None:
            async for _, event in one.watch(third.run_id):
                told.append(event)

        listening = asyncio.create_task(listen())
        await eventually(lambda: any(event.get("name") == "headrace.queued" for event in told))
        await one.cancel(second.run_id)
        await eventually(lambda: [e["value"]["position"] for e in told if e.get("name") == "headrace.queued"] == [2, 1])
        release.set()
        await listening
    agui.check(told)
    assert told[1]["value"].keys() == {"position", "expected_wait_s", "limited_by"}


async def test_a_waiting_run_hears_of_the_quota_when_that_is_what_it_waits_for(postgres_url: str) -> None:
    gate = ModelSignals("big", effective_rpm=6, queue_depth=3, expected_wait_s={CallPriority.INTERACTIVE: 30.0})
    models = ScriptedModels(gate_signals=[gate])
    async with executor(settings(postgres_url, slots=1), ScriptedPipeline(before=hold), models) as one:
        await one.submit()
        waiting = await one.submit(priority=pb.PRIORITY_INTERACTIVE)
        async with aclosing(one.watch(waiting.run_id)) as events:
            told = await anext(event["value"] async for _, event in events if event.get("name") == "headrace.queued")
    assert told == {"position": 1, "expected_wait_s": 30.0, "limited_by": "quota"}


async def test_signals_tell_what_runs_of_each_kind_took_and_a_new_process_knows_it(postgres_url: str) -> None:
    async with executor(settings(postgres_url), ScriptedPipeline()) as one:
        for _ in range(3):
            await one.get((await one.submit()).run_id, wait_s=20)

        async def told() -> list[pb.KindSignals]:
            return list((await one.runs.QueueSignals(pb.QueueSignalsRequest())).kinds)

        await eventually(lambda: _learned(told, calls=4))
    async with executor(settings(postgres_url), ScriptedPipeline()) as another:
        signals = await another.runs.QueueSignals(pb.QueueSignalsRequest())
        assert signals.default_model == "big"
        assert [(kind.kind, kind.calls_per_run) for kind in signals.kinds] == [(pb.RUN_KIND_CONVERSATION, 4)]
        assert signals.kinds[0].seconds_per_run > 0


async def _learned(told: Callable[[], Awaitable[list[pb.KindSignals]]], *, calls: float) -> bool:
    return [(kind.kind, kind.calls_per_run) for kind in await told()] == [(pb.RUN_KIND_CONVERSATION, calls)]


async def test_signals_count_the_queue_and_the_fleet(postgres_url: str) -> None:
    config = settings(postgres_url, slots=2)
    async with executor(config, ScriptedPipeline(before=hold)) as one, executor(config, ScriptedPipeline(before=hold)):
        for n in range(7):
            await one.submit(priority=(pb.PRIORITY_INTERACTIVE, pb.PRIORITY_BACKGROUND)[n % 2])

        async def counted() -> bool:
            signals = await one.runs.QueueSignals(pb.QueueSignalsRequest())
            return bool(signals.running == 4 and signals.queued_interactive + signals.queued_background == 3)

        await eventually(counted)
        signals = await one.runs.QueueSignals(pb.QueueSignalsRequest())
        assert (signals.replicas, signals.slots_per_replica, signals.running_here) == (2, 2, 2)
        assert signals.oldest_wait_s > 0


async def test_a_session_stays_while_its_runs_are_unfinished(postgres_url: str) -> None:
    release = asyncio.Event()

    async def wait(journal: Journal, step: str) -> None:
        await release.wait()

    async with executor(settings(postgres_url), ScriptedPipeline(before=wait)) as one:
        run = await one.submit(message="first words")
        request = pb.DeleteSessionRequest(tenant_id="t", session_id=run.session_id)
        with pytest.raises(Exception, match="1 runs of the session are not finished"):
            await one.sessions.DeleteSession(request)
        release.set()
        await one.log(run.run_id)
        said = await one.sessions.ListMessages(pb.ListMessagesRequest(tenant_id="t", session_id=run.session_id))
        assert [(m.role, m.text) for m in said.messages] == [("user", "first words"), ("assistant", "done")]
        await one.sessions.DeleteSession(request)
        left = await one.get(run.run_id)
        assert (left.state, left.session_id) == (pb.RUN_STATE_SUCCEEDED, "")
        assert (await refused(one.submit(session_id=run.session_id))).reason == "SESSION_NOT_FOUND"


async def test_old_logs_go_by_the_day_and_old_runs_after_them(postgres_url: str) -> None:
    async with executor(settings(postgres_url), ScriptedPipeline()) as one:
        run = await one.submit()
        await one.log(run.run_id)
        connection = await asyncpg.connect(postgres_url)
        tables = await connection.fetch("SELECT relname FROM pg_class WHERE relname LIKE 'events_2%' AND relkind = 'r'")
        assert len(tables) == 5  # yesterday, today and three days ahead
        await connection.execute(f"DROP TABLE events_{ids.day_of(run.run_id):%Y%m%d}")
        await connection.close()
        async with executor(settings(postgres_url), ScriptedPipeline()) as fresh:
            assert (await refused(fresh.log(run.run_id))).reason == "LOG_EXPIRED"
            assert (await fresh.get(run.run_id)).output == b'{"reply":"done"}'
