"""Pages under races, deaths and limits, on a real Postgres; large outputs across a takeover."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, ClassVar

import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_executor.adapters.postgres import pages
from headrace_executor.adapters.postgres.page_versions import PageStore
from headrace_executor.adapters.postgres.pages import RunPages
from headrace_executor.adapters.postgres.schema import SCHEMA
from headrace_executor.adapters.postgres.upkeep import UpkeepStore
from headrace_executor.errors import LeaseLost, PageMoved, RunFailed
from headrace_executor.model import ClaimedRun, Outcome
from headrace_executor.pages import KeptPages
from headrace_executor.ports import Gap, Journal, PageRef
from headrace_executor.runs import ids
from headrace_executor.runs.records import StoredPages
from headrace_postgres.pool import Pool, open_pool
from headrace_runtime import errors

from tests.support.executor_durable import PAID, executor, settings
from tests.support.executor_fakes import claimed
from tests.support.executor_pages import PageMaker, draft, forever


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Pool]:
    await SCHEMA.migrate(postgres_url)
    async with open_pool(postgres_url, application="test", size=4, statement_timeout_s=20, wait_s=5) as value:
        yield value


async def running(pool: Pool, *, tenant: str = "t", session: str = "") -> ClaimedRun:
    """A run that an executor owns."""
    run = claimed({}, run_id=ids.new(), tenant_id=tenant, session_id=session or ids.new(), attempt=1)
    await pool.fetch("INSERT INTO sessions (session_id, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                     run.session_id, tenant)  # fmt: skip
    await pool.fetch(
        """INSERT INTO runs
             (run_id, tenant_id, session_id, fence, request_hash, kind, priority, state, owner, deadline, body)
           VALUES ($1, $2, $3, $4, '', 'page', 1, 'running', 'me', now() + interval '1 hour', '{}')""",
        run.run_id,
        tenant,
        run.session_id,
        run.fence,
    )
    return run


async def count(pool: Pool, table: str) -> int:
    row = await pool.fetchrow(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])


async def test_what_was_saved_is_loaded_as_it_was(pool: Pool) -> None:
    store, run = RunPages(pool, max_per_tenant=9), await running(pool)
    whole = {"big": "é" * 500_000, "same": [1], "as_same": [1], "none": None, "empty": ""}
    made = draft(
        whole, gaps=[Gap("node:none", "tool", "a\x00b")], instruction="é" * 5_000, sources=[{"n": n} for n in range(3)]
    )
    ref = await store.save(run, made)
    stored = await store.load(run, ref.page_id)
    assert stored is not None
    assert (stored.ref, stored.draft) == (ref, made)
    (listed,) = await PageStore(pool).versions("t", ref.page_id)
    assert listed.instruction == "é" * 2_000
    assert await store.load(await running(pool, tenant="u"), ref.page_id) is None
    assert await store.load(run, ids.new()) is None
    assert await store.load(run, "nonsense") is None


async def test_a_run_makes_one_version_however_often_it_saves(pool: Pool) -> None:
    store, run = RunPages(pool, max_per_tenant=9), await running(pool)
    refs = await asyncio.gather(*(store.save(run, draft({"a": n})) for n in range(6)))
    assert len(set(refs)) == 1
    assert await store.save(run, draft({"a": "later"})) == refs[0]
    assert (await count(pool, "pages"), await count(pool, "page_versions")) == (1, 1)


async def test_a_change_that_is_saved_twice_at_once_makes_one_version(pool: Pool) -> None:
    store = RunPages(pool, max_per_tenant=9)
    parent = await store.save(await running(pool), draft({"a": 0}))
    run = await running(pool)
    refs = await asyncio.gather(*(store.save(run, draft({"a": 1}, parent=parent)) for _ in range(6)))
    assert set(refs) == {PageRef(parent.page_id, 2)}
    assert await count(pool, "page_versions") == 2


async def test_of_changes_of_one_moment_one_is_stored_and_the_others_hear_that_the_page_has_moved(pool: Pool) -> None:
    store = RunPages(pool, max_per_tenant=9)
    parent = await store.save(await running(pool), draft({"a": 0}))
    runs = [await running(pool) for _ in range(8)]
    answers = await asyncio.gather(
        *(store.save(run, draft({"a": run.run_id}, parent=parent)) for run in runs), return_exceptions=True
    )
    (winner,) = [number for number, answer in enumerate(answers) if isinstance(answer, PageRef)]
    assert answers[winner] == PageRef(parent.page_id, 2)
    assert [answer.current for answer in answers if isinstance(answer, PageMoved)] == [2] * 7
    history = await PageStore(pool).versions("t", parent.page_id)
    assert [(one.version, one.parent_version, one.current) for one in history] == [(1, 0, False), (2, 1, True)]
    found = await store.load(runs[0], parent.page_id)
    assert found is not None
    assert found.draft.outputs == {"a": runs[winner].run_id}


async def test_an_undo_before_a_change_is_stored_is_heard_of(pool: Pool) -> None:
    store = RunPages(pool, max_per_tenant=9)
    first = await store.save(await running(pool), draft({"a": 0}))
    second = await store.save(await running(pool), draft({"a": 1}, parent=first))
    await PageStore(pool).restore("t", first.page_id, version=0, expected=0)
    run = await running(pool)
    with pytest.raises(PageMoved) as caught:
        await store.save(run, draft({"a": 2}, parent=second))
    assert caught.value.current == 1
    ref = await store.save(run, draft({"a": 2}, parent=first))
    assert (ref.version, ref.parent_version) == (3, 1)
    base, current = await store.load(run, first.page_id, 2), await store.load(run, first.page_id)
    assert base is not None
    assert current is not None
    assert (base.draft.outputs, current.draft.outputs) == ({"a": 1}, {"a": 2})


@pytest.mark.parametrize("parent", [False, True])
async def test_who_does_not_own_the_run_saves_nothing(pool: Pool, parent: bool) -> None:
    store = RunPages(pool, max_per_tenant=9)
    of = await store.save(await running(pool), draft({"a": 0})) if parent else None
    run = await running(pool)
    before = await count(pool, "page_values")
    for stranger in (replace(run, fence=run.fence - 1), replace(run, run_id=ids.new()), replace(run, tenant_id="u")):
        with pytest.raises(LeaseLost):
            await store.save(stranger, draft({"a": 1}, parent=of))
    assert (await count(pool, "page_versions"), await count(pool, "page_values")) == (int(parent), before)
    await pool.fetch("UPDATE runs SET state = 'failed', owner = NULL, finished_at = now() WHERE run_id = $1", run.run_id)
    with pytest.raises(LeaseLost):
        await store.save(run, draft({"a": 1}, parent=of))


async def test_a_takeover_and_a_save_at_the_same_moment_are_one_after_the_other(pool: Pool) -> None:
    """The save waits for whoever has the run's row, and sees what became of it."""
    store, run = RunPages(pool, max_per_tenant=9), await running(pool)
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("UPDATE runs SET fence = fence + 1 WHERE run_id = $1", run.run_id)
        saving = asyncio.create_task(store.save(run, draft({"a": 1})))
        while not (await pool.fetch("SELECT FROM pg_locks WHERE NOT granted")):
            await asyncio.sleep(0.01)
    with pytest.raises(LeaseLost):
        await saving
    assert await count(pool, "pages") == 0


async def test_versions_share_what_did_not_change(pool: Pool) -> None:
    store = RunPages(pool, max_per_tenant=9)
    outputs = {f"n{n}": f"{n}" * 300_000 for n in range(4)}
    parent = await store.save(await running(pool), draft(outputs))
    rows, size = await count(pool, "page_values"), await _size(pool, parent)
    changed = await store.save(await running(pool), draft({**outputs, "n0": "shorter"}, parent=parent))
    assert (changed.version, await count(pool, "page_values")) == (2, rows + 1)
    assert await _size(pool, parent) == size + len(b'"shorter"')
    first, second = [await PageStore(pool).read("t", parent.page_id, version) for version in (1, 2)]
    assert first is not None
    assert second is not None
    assert first[1].outputs == outputs
    assert second[1].outputs == {**outputs, "n0": "shorter"}
    largest = await pool.fetchrow("SELECT max(octet_length(data)) FROM page_values")
    assert largest is not None
    assert largest[0] == 256 * 1024


async def test_the_oldest_versions_go_with_what_they_alone_hold(pool: Pool) -> None:
    store, kept = RunPages(pool, max_per_tenant=9, max_versions=3), {"same": "s" * 300_000}
    ref = await store.save(await running(pool), draft({**kept, "a": "first" * 100_000}))
    for number in range(2, 7):
        ref = await store.save(await running(pool), draft({**kept, "a": f"{number}"}, parent=ref))
    history = await PageStore(pool).versions("t", ref.page_id)
    assert [(one.version, one.current) for one in history] == [(4, False), (5, False), (6, True)]
    for number in (4, 5, 6):
        found = await PageStore(pool).read("t", ref.page_id, number)
        assert found is not None
        assert found[1].outputs == {**kept, "a": f"{number}"}
    assert await PageStore(pool).read("t", ref.page_id, 1) is None
    stored = await pool.fetchrow("SELECT sum(octet_length(data)) FROM page_values")
    assert stored is not None
    assert await _size(pool, ref) == stored[0] < 310_000
    pages_of_tenant = KeptPages(PageStore(pool))
    for _ in range(2):
        await pages_of_tenant.restore("t", ref.page_id, version=0, expected=0)
    with pytest.raises(errors.FailedPrecondition, match="version 3, which is no longer kept") as caught:
        await pages_of_tenant.restore("t", ref.page_id, version=0, expected=0)
    assert caught.value.reason == "NOTHING_TO_UNDO"
    with pytest.raises(errors.NotFound):
        await pages_of_tenant.restore("t", ref.page_id, version=1, expected=0)


async def test_the_current_version_and_the_one_before_it_stay_however_old_they_are(pool: Pool) -> None:
    store = RunPages(pool, max_per_tenant=9, max_versions=2)
    first = await store.save(await running(pool), draft({"a": 1}))
    second = await store.save(await running(pool), draft({"a": 2}, parent=first))
    for number in range(3, 6):
        await store.save(await running(pool), draft({"a": number}, parent=second))
        await PageStore(pool).restore("t", first.page_id, version=2, expected=0)
    last = await store.save(await running(pool), draft({"a": 6}, parent=second))
    assert [one.version for one in await PageStore(pool).versions("t", first.page_id)] == [2, 5, 6]
    await PageStore(pool).restore("t", first.page_id, version=2, expected=0)
    assert last.parent_version == 2
    await store.save(await running(pool), draft({"a": 7}, parent=second))
    assert [one.version for one in await PageStore(pool).versions("t", first.page_id)] == [2, 6, 7]


async def test_a_value_that_comes_back_while_its_last_version_goes_is_there(pool: Pool) -> None:
    """Values of versions that go are what new versions hold again: each version that is there is whole."""
    store = RunPages(pool, max_per_tenant=9, max_versions=2)
    values = ["a" * 300_000, "b", "c" * 300_000]
    ref = await store.save(await running(pool), draft({"a": values[0]}))
    for number in range(1, 10):
        runs = [await running(pool) for _ in range(3)]
        answers = await asyncio.gather(
            *(store.save(run, draft({"a": values[(number + at) % 3]}, parent=ref)) for at, run in enumerate(runs)),
            return_exceptions=True,
        )
        (ref,) = [answer for answer in answers if isinstance(answer, PageRef)]
        for one in await PageStore(pool).versions("t", ref.page_id):
            found = await PageStore(pool).read("t", ref.page_id, one.version)
            assert found is not None
            assert found[1].outputs["a"] in values


async def test_a_page_has_at_most_so_many_bytes(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 10_000)
    store = RunPages(pool, max_per_tenant=9)
    parent = await store.save(await running(pool), draft({"a": "x" * 5_000}))
    for of in (parent, None):
        with pytest.raises(RunFailed):
            await store.save(await running(pool), draft({"a": "y" * 10_000}, parent=of))
    assert (await store.save(await running(pool), draft({"a": "x" * 5_000}, parent=parent))).version == 2


async def test_a_tenant_has_at_most_so_many_pages_and_may_go_on_changing_them(pool: Pool) -> None:
    store = RunPages(pool, max_per_tenant=2)
    first = await store.save(await running(pool), draft({"a": 0}))
    await store.save(await running(pool), draft({"a": 0}))
    with pytest.raises(RunFailed) as caught:
        await store.save(await running(pool), draft({"a": 0}))
    assert "delete pages" in str(caught.value)
    await store.save(await running(pool), draft({"a": 1}, parent=first))
    await store.save(await running(pool, tenant="u"), draft({"a": 0}))
    await PageStore(pool).delete("t", first.page_id)
    await store.save(await running(pool), draft({"a": 0}))


async def test_the_limit_of_pages_holds_for_runs_of_one_moment(pool: Pool) -> None:
    """All of them are under way before the first has stored its page."""
    store = RunPages(pool, max_per_tenant=1)
    runs = [await running(pool) for _ in range(6)]
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SELECT FROM runs FOR UPDATE")
        saving = [asyncio.create_task(store.save(run, draft({"a": 1}))) for run in runs]
        while len(await connection.fetch("SELECT FROM pg_locks WHERE NOT granted")) < 3:
            await asyncio.sleep(0.01)
    answers = await asyncio.gather(*saving, return_exceptions=True)
    assert sum(isinstance(answer, PageRef) for answer in answers) == 1
    assert sum(isinstance(answer, RunFailed) for answer in answers) == 5
    assert await count(pool, "pages") == 1


async def test_how_much_pages_are_is_told(pool: Pool) -> None:
    upkeep, store = UpkeepStore(pool), RunPages(pool, max_per_tenant=9)
    assert await upkeep.pages() == StoredPages(0, 0, 0)
    refs = [await store.save(await running(pool, tenant=tenant), draft({"a": "x" * 1_000})) for tenant in "ttu"]
    assert await upkeep.pages() == StoredPages(3, 2, sum([await _size(pool, ref) for ref in refs]))
    await PageStore(pool).delete("t", refs[0].page_id)
    assert (await upkeep.pages()).pages == 2


async def test_a_change_of_a_page_that_was_deleted_or_is_anothers_fails(pool: Pool) -> None:
    store = RunPages(pool, max_per_tenant=9)
    parent = await store.save(await running(pool), draft({"a": 0}))
    with pytest.raises(RunFailed):
        await store.save(await running(pool, tenant="u"), draft({"a": 1}, parent=parent))
    assert await PageStore(pool).delete("t", parent.page_id)
    with pytest.raises(RunFailed) as caught:
        await store.save(await running(pool), draft({"a": 1}, parent=parent))
    assert "deleted" in str(caught.value)
    assert [await count(pool, table) for table in ("pages", "page_versions", "page_values")] == [0, 0, 0]


async def test_the_newest_page_of_a_session_is_the_one_that_it_changed_last(pool: Pool) -> None:
    store, session = RunPages(pool, max_per_tenant=9), ids.new()
    assert await store.newest(await running(pool, session=session)) is None
    first = await store.save(await running(pool, session=session), draft({"a": 1}))
    second = await store.save(await running(pool, session=session), draft({"a": 2}))
    await store.save(await running(pool), draft({"a": 3}))
    reader = await running(pool, session=session)
    newest = await store.newest(reader)
    assert newest is not None
    assert newest.ref == second
    changed = await store.save(await running(pool, session=session), draft({"a": 4}, parent=first))
    newest = await store.newest(reader)
    assert newest is not None
    assert (newest.ref, newest.draft.parent) == (changed, first)
    await PageStore(pool).restore("t", first.page_id, version=1, expected=0)
    newest = await store.newest(reader)
    assert newest is not None
    assert newest.ref == first


async def test_pages_outlive_their_runs_and_sessions(pool: Pool) -> None:
    store, run = RunPages(pool, max_per_tenant=9), await running(pool)
    old = replace(run, run_id=ids.first_of(ids.day_of(run.run_id).replace(year=2020)))
    await pool.fetch("UPDATE runs SET run_id = $1", old.run_id)
    ref = await store.save(old, draft({"a": "x" * 600_000}))
    await pool.fetch("INSERT INTO steps (run_id, step, output, usage) VALUES ($1, 's', '', '')", old.run_id)
    await pool.fetch("INSERT INTO step_parts (run_id, step, part, data) VALUES ($1, 's', 1, 'x')", old.run_id)
    await pool.fetch("UPDATE runs SET state = 'succeeded', owner = NULL, finished_at = now()")
    today = ids.day_of(run.run_id)
    await UpkeepStore(pool).expire(today, keep_log_days=7, keep_run_days=30, keep_usage_days=400)
    await pool.fetch("DELETE FROM sessions")
    assert [await count(pool, table) for table in ("runs", "steps", "step_parts")] == [0, 0, 0]
    found = await PageStore(pool).read("t", ref.page_id, 0)
    assert found is not None
    assert found[1].outputs == {"a": "x" * 600_000}


async def test_an_owner_that_dies_between_the_page_and_the_runs_end_leaves_one_version(
    postgres_url: str, redis_url: str
) -> None:
    saved = asyncio.Event()

    async def hang(journal: Journal) -> None:
        saved.set()
        await forever(journal)

    first, second = PageMaker(after=hang), PageMaker()
    async with executor(settings(postgres_url, redis_url), first) as dying:
        run = await dying.submit()
        await saved.wait()
        async with executor(settings(postgres_url, redis_url), second) as heir:
            await dying.stop()
            done = await heir.get(run.run_id, wait_s=30)
            assert (done.state, done.attempt) == (pb.RUN_STATE_SUCCEEDED, 2)
            assert orjson.loads(done.output)["page"] == {"page_id": first.saved[0].page_id, "version": 1}
            assert second.saved == first.saved


class Large:
    """One step of a MiB; who finds it recorded gives it back, whoever does it waits for ever behind it."""

    OUTPUT: ClassVar[Any] = ["é" * 250_000, {"n": list(range(40_000))}]

    def __init__(self) -> None:
        self.stored = asyncio.Event()
        self.found: list[Any] = []

    async def run(self, journal: Journal) -> Outcome:
        if "node:large" not in journal.steps:
            await journal.checkpoint("node:large", self.OUTPUT, usage=PAID)
            journal.record("node:small", "s", usage=PAID)
            await journal.checkpoint("node:other", self.OUTPUT[0], usage=PAID)
            self.stored.set()
            await forever(journal)
        self.found = [journal.steps[step].output for step in ("node:large", "node:small", "node:other")]
        return Outcome({})


async def test_a_large_output_is_whole_for_the_next_owner(postgres_url: str, redis_url: str) -> None:
    first, second = Large(), Large()
    assert 700_000 < len(orjson.dumps(Large.OUTPUT)) < 1024 * 1024
    async with executor(settings(postgres_url, redis_url), first) as dying:
        run = await dying.submit()
        await first.stored.wait()
        async with executor(settings(postgres_url, redis_url), second) as heir:
            await dying.stop()
            assert (await heir.get(run.run_id, wait_s=30)).state == pb.RUN_STATE_SUCCEEDED
    assert second.found == [Large.OUTPUT, "s", Large.OUTPUT[0]]
    async with open_pool(postgres_url, application="test", size=1, statement_timeout_s=5, wait_s=5) as pool:
        row = await pool.fetchrow(
            "SELECT (SELECT max(octet_length(output)) FROM steps), (SELECT max(octet_length(data)) FROM step_parts)"
        )
    assert row is not None
    assert tuple(row) == (256 * 1024, 256 * 1024)


async def _size(pool: Pool, ref: PageRef) -> int:
    row = await pool.fetchrow("SELECT size_bytes FROM pages WHERE page_id = $1", ref.page_id)
    assert row is not None
    return int(row[0])
