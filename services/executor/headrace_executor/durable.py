"""Wires the durable half: stores, lease, flusher, worker, submissions, watchers, upkeep."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from headrace_blueprint import model as language
from headrace_blueprint import tools as builtin
from headrace_llm.client import ModelClient, ModelSignals
from headrace_llm.client import Priority as CallPriority
from headrace_postgres.pool import Pool, open_pool
from headrace_runtime.tasks import Guard, guard
from headrace_tools.ports import NoTools, Toolbox

from headrace_executor.adapters.postgres.claims import ClaimStore
from headrace_executor.adapters.postgres.flush import FlushStore
from headrace_executor.adapters.postgres.interruptions import InterruptionStore
from headrace_executor.adapters.postgres.logs import LogStore
from headrace_executor.adapters.postgres.memories import MemoryStore
from headrace_executor.adapters.postgres.page_versions import PageStore
from headrace_executor.adapters.postgres.pages import RunPages
from headrace_executor.adapters.postgres.runs import RunStore
from headrace_executor.adapters.postgres.schema import SCHEMA
from headrace_executor.adapters.postgres.sessions import SessionStore
from headrace_executor.adapters.postgres.submissions import SubmissionStore
from headrace_executor.adapters.postgres.upkeep import UpkeepStore
from headrace_executor.adapters.postgres.usage import UsageStore
from headrace_executor.adapters.postgres.workflows import WorkflowStore
from headrace_executor.adapters.redis_hints import NoHints, RedisHints
from headrace_executor.engine import catalog
from headrace_executor.errors import StoreAway, StoreRefused
from headrace_executor.memories import Embeddings, Memories
from headrace_executor.model import Json, Priority
from headrace_executor.pages import KeptPages
from headrace_executor.policy import Pace, QueueLimits
from headrace_executor.ports import Interruptions, Pages, Pipeline, Sessions, Workflows
from headrace_executor.ports import Memories as RunMemories
from headrace_executor.resolution import Resolver
from headrace_executor.runs.chat_usage import ChatUsage
from headrace_executor.runs.costs import KindCosts
from headrace_executor.runs.driver import Driver
from headrace_executor.runs.feeds import FeedLimits, Hub
from headrace_executor.runs.flush import Flusher
from headrace_executor.runs.journal import BufferLimits
from headrace_executor.runs.lease import Lease
from headrace_executor.runs.queue_view import QueueView
from headrace_executor.runs.session_counts import SessionCounts
from headrace_executor.runs.submit import Submitter
from headrace_executor.runs.upkeep import Upkeep, UpkeepLimits
from headrace_executor.runs.watch import Tailer, Watchers
from headrace_executor.runs.worker import Worker, WorkerLimits
from headrace_executor.service import Runs
from headrace_executor.settings import Settings
from headrace_executor.usage import Budgets
from headrace_executor.validation import Validator
from headrace_executor.workflows import SavedWorkflows

WORK_CONNECTIONS = 4
"""For flushes, claims, submissions and the heartbeat, which must not wait behind requests."""
RECALLED_RUNS = 256
"""Runs of the table that a new process learns from."""
DRAIN_MARGIN = 0.25
"""The part of `drain_s` that is kept for handing back what has not finished."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stores:
    """What a pipeline reads and writes beside its journal."""

    sessions: Sessions
    interruptions: Interruptions
    memories: RunMemories
    workflows: Workflows
    pages: Pages


@dataclass(frozen=True, slots=True)
class Durable:
    """The durable half, running."""

    runs: Runs
    watchers: Watchers
    queue: QueueView
    sessions: SessionStore
    workflows: SavedWorkflows
    pages: KeptPages
    memories: Memories
    usage: UsageStore
    chat_usage: ChatUsage
    worker: Worker
    lease: Lease
    costs: KindCosts
    drain_s: float
    failed: asyncio.Future[None]
    """Gets an exception when a loop that must not end has ended."""

    async def drain(self) -> None:
        """Stop claiming, finish what can be finished in time, hand the rest back."""
        await self.worker.drain(self.drain_s * (1 - DRAIN_MARGIN))


@asynccontextmanager
async def open_durable(
    settings: Settings,
    *,
    pipeline: Callable[[Stores], Pipeline],
    models: ModelClient,
    embeddings: Embeddings,
    budgets: Budgets | None = None,
    toolbox: Toolbox | None = None,
) -> AsyncIterator[Durable]:
    """Start the durable half on its database. Raises `StoreAway` when that does not answer at start.

    With `budgets` a run is refused whose tenant has nothing left of today's. `toolbox` has the tools that blueprints may
    name beside the built-in ones.
    """
    async with AsyncExitStack() as stack:
        work, requests = await _pools(settings, stack)
        hints = await _hints(settings, stack)
        usage = UsageStore(requests)
        chat_usage = ChatUsage(usage)
        stack.push_async_callback(chat_usage.close)
        tasks = await stack.enter_async_context(guard())
        parts = _Parts(settings, work, requests, hints, models, embeddings, budgets, toolbox or NoTools())
        upkeep = parts.upkeep()
        await upkeep.begin()
        await parts.recall()
        worker = parts.worker(pipeline(parts.stores()))
        stack.push_async_callback(worker.abandon)
        runs = parts.runs(worker, tasks)
        upkeep.end_overdue = runs.fail_overdue
        await parts.lease.begin()
        if isinstance(hints, RedisHints):
            hints.on_queued, hints.on_events, hints.on_cancel = worker.wake, parts.tailer.hint, worker.cancel
            tasks.start(hints.publish(), name="hints out")
            tasks.start(hints.listen(), name="hints in")
        tasks.start(parts.lease.keep(), name="lease")
        tasks.start(parts.flusher.run(), name="flusher")
        tasks.start(worker.run(), name="claims")
        tasks.start(parts.tailer.run(), name="tailer")
        tasks.start(parts.queue.follow(), name="queue view")
        tasks.start(upkeep.tend_queue(), name="queue upkeep")
        tasks.start(upkeep.tend_store(), name="store upkeep")
        tasks.start(chat_usage.run(), name="chat usage")
        yield Durable(
            runs,
            parts.watchers,
            parts.queue,
            parts.sessions,
            parts.workflows(),
            parts.pages,
            parts.memories,
            usage,
            chat_usage,
            worker,
            parts.lease,
            parts.costs,
            settings.drain_s,
            tasks.failed,
        )


class _Parts:
    """What the loops and the use cases share."""

    def __init__(
        self,
        settings: Settings,
        work: Pool,
        requests: Pool,
        hints: RedisHints | NoHints,
        models: ModelClient,
        embeddings: Embeddings,
        budgets: Budgets | None,
        toolbox: Toolbox,
    ) -> None:
        self._settings = settings
        self._work = work
        self._requests = requests
        self._hints = hints
        self._models = models
        self._budgets = budgets
        self._claims = ClaimStore(work)
        self._logs = LogStore(requests)
        self._runs = RunStore(requests)
        self._toolbox = toolbox
        self._workflows = WorkflowStore(requests)
        self._pages = PageStore(requests)
        self._validator = Validator(self._workflows, self._tools)
        self.pages = KeptPages(self._pages)
        self.sessions = SessionStore(requests)
        limit = settings.max_memories_per_session
        self.memories = Memories(MemoryStore(requests), embeddings, max_per_session=limit)
        self.hub = Hub(FeedLimits(tail_bytes=settings.tail_bytes))
        self.lease = Lease(self._claims, lease_s=settings.lease_s, heartbeat_s=settings.heartbeat_s, slots=settings.slots)
        self.flusher = Flusher(FlushStore(work), self.hub, hints, self.lease, token_delay_s=settings.token_delay_s)
        self.tailer = Tailer(self._logs, self.hub, poll_s=settings.watch_poll_s)
        self.watchers = Watchers(self._logs, self.hub, limit=settings.max_watchers)
        self.costs = KindCosts()
        self.queue = QueueView(self._runs, slots=settings.slots, refresh_s=settings.notice_s)

    async def recall(self) -> None:
        """Begin with what earlier runs took, if the table tells."""
        try:
            self.costs.begin(await self._runs.costs(limit=RECALLED_RUNS))
        except (StoreAway, StoreRefused) as error:
            log.warning("costs_unknown", error=type(error).__name__)

    def pace(self, priority: Priority) -> Pace:
        """The default model's gate, which most runs' calls wait at."""
        name = self._models.registry.default
        gate = next((one for one in self._models.signals() if one.model == name), ModelSignals(name))
        return Pace(
            rpm=gate.effective_rpm,
            wait_s=gate.expected_wait_s.get(CallPriority(priority), 0.0),
            busy=gate.queue_depth > 0 or gate.throttled_ratio > 0,
            calls_per_run=self.costs.mean_calls(),
        )

    def stores(self) -> Stores:
        settings = self._settings
        pages = RunPages(
            self._requests, max_per_tenant=settings.max_pages_per_tenant, max_versions=settings.max_versions_per_page
        )
        return Stores(self.sessions, InterruptionStore(self._requests), self.memories, self._workflows, pages)

    def workflows(self) -> SavedWorkflows:
        limit = self._settings.max_workflows_per_tenant
        return SavedWorkflows(self._workflows, self._validator, schema=self._schema, max_per_tenant=limit)

    def _tools(self, tenant_id: str) -> Mapping[str, Mapping[str, Json]]:
        return catalog.schemas(self._toolbox, tenant_id)

    def _schema(self, tenant_id: str) -> Json:
        if not tenant_id:
            return language.SCHEMA
        known = {name: entry.tool for name, entry in self._toolbox.tools(tenant_id).items()}
        return language.schema_with_tools({**builtin.TOOLS, **known})

    def worker(self, pipeline: Pipeline) -> Worker:
        limits = WorkerLimits(slots=self._settings.slots, poll_s=self._settings.poll_s)
        driver = Driver(pipeline, self._logs, self.flusher, buffer=BufferLimits(), unwind_s=limits.unwind_s)
        return Worker(
            driver,
            self._claims,
            lease=self.lease,
            hub=self.hub,
            hints=self._hints,
            costs=self.costs,
            limits=limits,
        )

    def runs(self, worker: Worker, tasks: Guard) -> Runs:
        submitter = Submitter(
            SubmissionStore(self._work),
            worker,
            self.hub,
            self._hints,
            owner=self.lease,
            limits=QueueLimits(self._settings.max_queued, self._settings.max_queued_per_tenant),
            fleet=self.queue,
            sessions=SessionCounts(limit=self._settings.max_sessions_per_tenant),
            deadline_s=self._settings.run_deadline_s,
        )
        tasks.start(submitter.run(), name="submissions")
        return Runs(
            self._runs,
            self._logs,
            submitter=submitter,
            watchers=self.watchers,
            hints=self._hints,
            cancel_local=worker.cancel,
            models=tuple(self._models.registry.models),
            resolver=Resolver(self._workflows, self._pages, self._validator),
            budgets=self._budgets,
        )

    def upkeep(self) -> Upkeep:
        settings = self._settings
        return Upkeep(
            UpkeepStore(self._requests),
            queue=self.queue,
            pace=self.pace,
            hints=self._hints,
            limits=UpkeepLimits(
                notice_s=settings.notice_s,
                log_retention_days=settings.log_retention_days,
                run_retention_days=settings.run_retention_days,
                usage_retention_days=settings.usage_retention_days,
                session_retention_days=settings.session_retention_days,
                max_messages_per_session=settings.max_messages_per_session,
            ),
        )


async def _pools(settings: Settings, stack: AsyncExitStack) -> tuple[Pool, Pool]:
    dsn = settings.database_url.get_secret_value()
    pools: list[Pool] = []
    for name, size in (("work", WORK_CONNECTIONS), ("requests", settings.database_connections)):
        pool = await stack.enter_async_context(
            open_pool(
                dsn,
                application=f"headrace-executor-{name}",
                size=size,
                statement_timeout_s=settings.statement_timeout_s,
                wait_s=settings.start_timeout_s,
                fixed_plans=name == "work",
            )
        )
        if not pools:
            await SCHEMA.migrate(dsn)
        pools.append(pool)
    return pools[0], pools[1]


async def _hints(settings: Settings, stack: AsyncExitStack) -> RedisHints | NoHints:
    url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    if not url:
        return NoHints()
    database = urlsplit(settings.database_url.get_secret_value()).path.strip("/")
    hints = RedisHints(url, database=database)
    stack.push_async_callback(hints.close)
    return hints
