"""Takes a claimed run to its end: which steps each kind of run has, and what they pass on. Implements `ports.Pipeline`.

    conversation, quiz   route → recall → resolve → plan → flows → node:ID … → page
    workflow             resolve → plan
    page                 flows → node:ID … → page
    patch                plan → node:ID … → page
    document             ingest

`recall` is there where the request asks for what its session remembers, `resolve` where the tenant's connectors have
records whose names are looked up. A run that must ask back ends after it, and another run goes on with the answer.

Every step is recorded when it is done and is never done again, so a run that is taken over goes on where it was.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from headrace_blueprint.plan import Plan
from headrace_blueprint.validation import Tools
from headrace_runtime import telemetry
from headrace_tools.ports import NoTools, Toolbox
from opentelemetry import context, propagate

from headrace_executor.engine import answers, catalog, clarifications, page, pages, recalling, requests, resuming, retrying
from headrace_executor.engine.changes import Changes
from headrace_executor.engine.clarifications import Answers
from headrace_executor.engine.execution import Executed
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.recalling import Recall
from headrace_executor.engine.requests import Conversation
from headrace_executor.engine.resolving import Resolved, Resolver
from headrace_executor.engine.retrying import Sleep
from headrace_executor.engine.services import Services
from headrace_executor.engine.steps import once, tracer
from headrace_executor.model import ClaimedRun, Json, Outcome, RunKind
from headrace_executor.ports import (
    Cel,
    Interruptions,
    Journal,
    Memories,
    Models,
    Pages,
    Planner,
    Rag,
    Router,
    Sessions,
    Turn,
    Waits,
    Workflows,
)

RESOLVED = frozenset({"build", "quiz"})
"""Intents whose plan may read the records that names in the message stand for."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RunPipeline:
    """Runs of every kind, over the services that they need. It keeps nothing between runs."""

    def __init__(
        self,
        *,
        router: Router,
        planner: Planner,
        rag: Rag,
        models: Models,
        sessions: Sessions,
        cel: Cel,
        waits: Waits | None = None,
        toolbox: Toolbox | None = None,
        workflows: Workflows | None = None,
        pages: Pages | None = None,
        interruptions: Interruptions | None = None,
        memories: Memories | None = None,
        limits: Limits | None = None,
        now: Callable[[], datetime] = _utc_now,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sessions = sessions
        self._limits = limits or Limits()
        self._toolbox = toolbox or NoTools()
        self._interruptions = interruptions
        self._memories = memories
        self._resolver = Resolver(self._toolbox, deadline_s=self._limits.resolve_deadline_s)
        self._parts = Parts(
            rag,
            models,
            cel,
            now,
            self._limits,
            sleep,
            self._toolbox,
            workflows,
            pages,
            jitter,
            asyncio.Semaphore(self._limits.max_parallel_nodes_per_replica),
        )
        self._services = Services(
            router, planner, rag, toolbox=self._toolbox, waits=waits, limits=self._limits, sleep=sleep
        )
        self._changes = Changes(self._services, self._parts)
        self._kinds: Mapping[RunKind, Callable[[Journal], Awaitable[Outcome]]] = {
            RunKind.CONVERSATION: self._answer,
            RunKind.QUIZ: partial(self._answer, mode="quiz"),
            RunKind.WORKFLOW: self._workflow,
            RunKind.PAGE: self._page,
            RunKind.PATCH: self._patch,
            RunKind.DOCUMENT: self._document,
        }

    async def run(self, journal: Journal) -> Outcome:
        """Do what is left of a run. Raises `RunFailed`. The run's deadline is the caller's, who cancels."""
        do = self._kinds[journal.run.kind]
        with _traced(journal.run):
            return answers.bounded(await do(journal), max_bytes=self._limits.max_result_bytes)

    async def _answer(self, journal: Journal, *, mode: str = "") -> Outcome:
        body, given_answers = await self._followed(journal)
        if given_answers.cancelled:
            return answers.given_up(given_answers.intent)
        request = requests.conversation(body, mode=mode)
        history = await self._history(journal) if request.history is None else request.history
        history = history[-self._limits.history_turns :]
        intent = await once(journal, "route", lambda: self._services.route(journal, request, history))
        if intent["kind"] == "patch" and (changed := await self._changes.newest(journal, request)) is not None:
            return answers.conversed(intent, changed)
        builds = intent["kind"] in answers.BUILDS
        kind = "build" if builds else intent["kind"]
        recalled = await self._recall(journal, request, kind)
        resolved = await self._resolve(journal, request, kind, given_answers)
        if resolved.interrupts:
            return answers.asked(intent, resolved.interrupts, resolved.warnings)
        planned = await once(
            journal, "plan", lambda: self._services.plan(journal, request, kind, history, resolved, recalled)
        )
        plan = requests.compiled(planned["blueprint"], tools=self._tools(journal))
        said = answers.rendered(history, max_characters=self._limits.history_characters)
        named = clarifications.as_inputs(resolved.entities)
        given = requests.given(request, history=said, entities=named, memories=recalled.text)
        if builds and not request.execute:
            journal.emit(page.snapshot(plan.blueprint, {}, max_bytes=self._limits.max_event_bytes))
            return answers.planned(intent, planned, requests.read(plan, given))
        inputs = requests.with_defaults(plan, given)
        return answers.conversed(intent, await self._execute(journal, plan, inputs), inputs=inputs)

    async def _workflow(self, journal: Journal) -> Outcome:
        body, given_answers = await self._followed(journal)
        if given_answers.cancelled:
            return answers.given_up(given_answers.intent)
        request = requests.conversation(body, message="prompt")
        resolved = await self._resolve(journal, request, "build", given_answers)
        if resolved.interrupts:
            return answers.asked(None, resolved.interrupts, resolved.warnings)
        planned = await once(journal, "plan", lambda: self._services.plan(journal, request, "build", (), resolved))
        plan = requests.compiled(planned["blueprint"], tools=self._tools(journal))
        journal.emit(page.snapshot(plan.blueprint, {}, max_bytes=self._limits.max_event_bytes))
        given = requests.given(request, history="", entities=clarifications.as_inputs(resolved.entities))
        return Outcome({**planned, "inputs": requests.read(plan, given)})

    async def _page(self, journal: Journal) -> Outcome:
        body = journal.run.body
        plan = requests.compiled(body.get("blueprint"), tools=self._tools(journal))
        inputs = requests.inputs(plan, body.get("inputs"))
        saved = body.get("workflow") or {}  # where the blueprint came from, when the run was accepted
        return answers.paged(await self._execute(journal, plan, inputs, workflow_id=str(saved.get("id") or "")))

    async def _patch(self, journal: Journal) -> Outcome:
        return answers.paged(await self._changes.requested(journal, requests.patch(journal.run.body)))

    async def _document(self, journal: Journal) -> Outcome:
        return Outcome({"document": await once(journal, "ingest", lambda: self._services.ingest(journal))})

    async def _followed(self, journal: Journal) -> tuple[Mapping[str, Json], Answers]:
        return await resuming.followed(journal, self._interruptions, limits=self._limits, sleep=self._parts.sleep)

    async def _history(self, journal: Journal) -> Sequence[Turn]:
        return await retrying.until_deadline(
            lambda: self._sessions.history(journal.run, limit=self._limits.history_turns),
            part="the session store",
            deadline_s=self._limits.history_deadline_s,
            sleep=self._parts.sleep,
        )

    async def _recall(self, journal: Journal, request: Conversation, kind: str) -> Recall:
        """What the session remembers, if the request asks for it and its plan reads it: a built-in one, or the caller's."""
        if not request.recall or not (kind in requests.CONVERSATIONAL or request.blueprint is not None):
            return Recall()
        run, top_k = journal.run, request.recall
        work = partial(recalling.recall, run, self._memories, request.message, top_k=top_k, limits=self._limits)
        return Recall.from_json(await once(journal, "recall", work))

    async def _resolve(self, journal: Journal, request: Conversation, kind: str, given: Answers) -> Resolved:
        """The records that names in a request stand for; none for a plan of the caller's own, which names them itself."""
        run = journal.run
        planned_for_names = kind in RESOLVED and request.blueprint is None
        if "resolve" not in journal.steps and not (planned_for_names and self._resolver.needed(run, given)):
            return Resolved()
        return Resolved.from_json(
            await once(journal, "resolve", lambda: self._resolver.resolve(run, request.message, intent=kind, answers=given))
        )

    async def _execute(
        self, journal: Journal, plan: Plan, inputs: Mapping[str, Json], *, workflow_id: str = ""
    ) -> Executed:
        return await pages.made(journal, plan, inputs=inputs, parts=self._parts, workflow_id=workflow_id)

    def _tools(self, journal: Journal) -> Tools:
        return catalog.schemas(self._toolbox, journal.run.tenant_id)


@contextmanager
def _traced(run: ClaimedRun) -> Iterator[None]:
    """A span for the run, below that of the request that submitted it."""
    parent = propagate.extract({"traceparent": run.traceparent}) if run.traceparent else None
    token = context.attach(parent) if parent is not None else None
    try:
        with telemetry.span(tracer, f"run {run.kind.value}", attributes={"headrace.run_id": run.run_id}):
            yield
    finally:
        if token is not None:
            context.detach(token)
