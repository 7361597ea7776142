"""An executor's half of a run for benches in one process: real journal, flusher and Postgres, any pipeline."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headrace_blueprint.tools import Tool
from headrace_cli.embedded import postgres, program
from headrace_executor.adapters.postgres.claims import ClaimStore
from headrace_executor.adapters.postgres.flush import FlushStore
from headrace_executor.adapters.postgres.schema import SCHEMA
from headrace_executor.adapters.redis_hints import NoHints
from headrace_executor.model import ClaimedRun, Priority, RunKind
from headrace_executor.ports import Pipeline
from headrace_executor.runs import ids
from headrace_executor.runs.feeds import FeedLimits, Hub
from headrace_executor.runs.flush import Flusher
from headrace_executor.runs.journal import BufferLimits, RunJournal
from headrace_executor.runs.lease import Lease
from headrace_postgres.pool import Pool, open_pool
from headrace_runtime.tasks import guard
from headrace_tools.model import EntitySource, ToolEntry

from tests.bench.stack import CLIENT_CORE, SERVER_CORE, pin

Json = Any
DEADLINE_S = 900
RUN = """
INSERT INTO runs (run_id, tenant_id, fence, request_hash, kind, priority, state, owner, deadline, body)
VALUES ($1, 'bench', 1, '', 'page', 1, 'running', 'bench', $2, '{}')
"""


@dataclass(frozen=True, slots=True)
class Took:
    """One run."""

    run_id: str
    seconds: float
    """From its first step to its stored end."""
    cpu_s: float
    """Of this process."""
    output: Json


class Owner:
    """The owner of one run at a time."""

    def __init__(self, pool: Pool, flusher: Flusher) -> None:
        self.pool = pool
        self._flusher = flusher

    async def row(self) -> str:
        """Make the row of a run that is owned, and return its id."""
        run_id = ids.new()
        await self.pool.fetch(RUN, run_id, datetime.now(UTC) + timedelta(seconds=DEADLINE_S))
        return run_id

    async def run(self, pipeline: Pipeline, body: Mapping[str, Json]) -> Took:
        """Run a page from its first step to its stored end."""
        now, run_id = datetime.now(UTC), await self.row()
        run = ClaimedRun(
            run_id=run_id,
            tenant_id="bench",
            session_id=ids.new(),
            kind=RunKind.PAGE,
            priority=Priority.INTERACTIVE,
            attempt=1,
            fence=1,
            created_at=now,
            deadline=now + timedelta(seconds=DEADLINE_S),
            body=body,
        )
        journal = RunJournal(run, last_seq=0, mark=self._flusher.mark, limits=BufferLimits())
        started, cpu = time.perf_counter(), time.process_time()
        outcome = await pipeline.run(journal)
        await journal.succeed(outcome)
        return Took(run_id, time.perf_counter() - started, time.process_time() - cpu, outcome.output)


class Answers:
    """A `Toolbox` whose tools answer at once."""

    def __init__(
        self, schemas: Mapping[str, Mapping[str, Json]], answer: Callable[[str, Mapping[str, Json]], Json]
    ) -> None:
        self._entries = {
            name: ToolEntry(Tool(name, name, schema), "http", name.partition(".")[0], idempotent=True)
            for name, schema in schemas.items()
        }
        self._answer = answer

    def tools(self, tenant_id: str) -> Mapping[str, ToolEntry]:
        """All of them."""
        return self._entries

    def entities(self, tenant_id: str) -> tuple[EntitySource, ...]:
        """None."""
        return ()

    async def call(
        self, tenant_id: str, name: str, arguments: Mapping[str, Json], *, deadline_s: float, call_id: str = ""
    ) -> Json:
        """Answer."""
        return self._answer(name, arguments)


@contextmanager
def database() -> Iterator[str]:
    """A Postgres on the server's core with the executor's schema, and this process on the client's; yields its DSN."""
    with TemporaryDirectory(prefix="headrace-bench-") as folder:
        home, port = Path(folder), program.free_port()
        home.chmod(0o711)
        pin(SERVER_CORE)
        with program.running(postgres.prepare(home / "data", port, home / "password"), home / "log"):
            pin(CLIENT_CORE)
            yield postgres.url(port, home / "password")


@asynccontextmanager
async def owner(dsn: str) -> AsyncIterator[Owner]:
    """An owner with the executor's own settings of its pool."""
    await SCHEMA.migrate(dsn)
    async with (
        open_pool(dsn, application="bench", size=4, statement_timeout_s=5, wait_s=60, fixed_plans=True) as pool,
        guard() as tasks,
    ):
        lease = Lease(ClaimStore(pool), lease_s=4, heartbeat_s=1, slots=1)
        await lease.begin()
        flusher = Flusher(FlushStore(pool), Hub(FeedLimits(tail_bytes=262_144)), NoHints(), lease, token_delay_s=0.025)
        tasks.start(lease.keep(), name="lease")
        tasks.start(flusher.run(), name="flusher")
        yield Owner(pool, flusher)
