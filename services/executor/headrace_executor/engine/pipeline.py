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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from headrace_blueprint.plan import Plan
from headrace_blueprint.validation import Tools
from headrace_runtime import telemetry
from headrace_tools.ports import NoTools, Toolbox
from opentelemetry import context, propagate

from headrace_executor import events
from headrace_executor.engine import (
    answers,
    catalog,
    clarifications,
    page,
    pages,
    recalling,
    requests,
    resuming,
    retrying,
)
from headrace_executor.engine.changes import Changes
from headrace_executor.engine.clarifications import Answers
from headrace_executor.engine.execution import Executed
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.notices import Notices
from headrace_executor.engine.offered import offered
from headrace_executor.engine.recalling import NOTHING, Recall
from headrace_executor.engine.requests import Conversation
from headrace_executor.engine.resolving import Resolved, Resolver
from headrace_executor.engine.retrying import Sleep
from headrace_executor.engine.steps import Done, once, tracer
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json, Outcome, RunKind
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

T = TypeVar("T")


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
        self._router = router
        self._planner = planner
        self._rag = rag
        self._sessions = sessions
        self._waits = waits
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
        self._changes = Changes(planner, self._parts, self._asked)
        self._kinds: Mapping[RunKind, Callable[[Journal], Awaitable[Outcome]]] = {
            RunKind.CONVERSATION: self._conversation,
            RunKind.QUIZ: self._quiz,
            RunKind.WORKFLOW: self._workflow,
            RunKind.PAGE: self._page,
            RunKind.PATCH: self._patch,
            RunKind.DOCUMENT: self._document,
        }

    async def run(self, journal: Journal) -> Outcome:
        """Do what is left of a run. Raises `RunFailed`. The run's deadline is the caller's, who cancels."""
        run = journal.run
        do = self._kinds[run.kind]
        parent = propagate.extract({"traceparent": run.traceparent}) if run.traceparent else None
        token = context.attach(parent) if parent is not None else None
        try:
            with telemetry.span(tracer, f"run {run.kind.value}", attributes={"headrace.run_id": run.run_id}):
                return answers.bounded(await do(journal), max_bytes=self._limits.max_result_bytes)
        finally:
            if token is not None:
                context.detach(token)

    async def _conversation(self, journal: Journal) -> Outcome:
        return await self._answer(journal)

    async def _quiz(self, journal: Journal) -> Outcome:
        return await self._answer(journal, mode="quiz")

    async def _answer(self, journal: Journal, *, mode: str = "") -> Outcome:
        body, given_answers = await self._followed(journal)
        if given_answers.cancelled:
            return answers.given_up(given_answers.intent)
        request = requests.conversation(body, mode=mode)
        history = await self._history(journal) if request.history is None else request.history
        history = history[-self._limits.history_turns :]
        intent = await once(journal, "route", lambda: self._route(journal, request, history))
        if intent["kind"] == "patch" and (changed := await self._changes.newest(journal, request)) is not None:
            return answers.conversed(intent, changed)
        builds = intent["kind"] in answers.BUILDS
        kind = "build" if builds else intent["kind"]
        recalled = await self._recall(journal, request, kind)
        resolved = await self._resolve(journal, request, kind, given_answers)
        if resolved.interrupts:
            return answers.asked(intent, resolved.interrupts, resolved.warnings)
        planned = await once(journal, "plan", lambda: self._plan(journal, request, kind, history, resolved, recalled))
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
        planned = await once(journal, "plan", lambda: self._plan(journal, request, "build", (), resolved))
        plan = requests.compiled(planned["blueprint"], tools=self._tools(journal))
        journal.emit(page.snapshot(plan.blueprint, {}, max_bytes=self._limits.max_event_bytes))
        given = requests.given(request, history="", entities=clarifications.as_inputs(resolved.entities))
        return Outcome({**planned, "inputs": requests.read(plan, given)})

    async def _followed(self, journal: Journal) -> tuple[Mapping[str, Json], Answers]:
        return await resuming.followed(journal, self._interruptions, limits=self._limits, sleep=self._parts.sleep)

    async def _resolve(self, journal: Journal, request: Conversation, kind: str, given: Answers) -> Resolved:
        """What the names in a request stand for; a plan of the caller's own says that itself."""
        run = journal.run
        planned_for_names = kind in RESOLVED and request.blueprint is None
        if "resolve" not in journal.steps and not (planned_for_names and self._resolver.needed(run, given)):
            return Resolved()
        return Resolved.from_json(
            await once(journal, "resolve", lambda: self._resolver.resolve(run, request.message, intent=kind, answers=given))
        )

    async def _recall(self, journal: Journal, request: Conversation, kind: str) -> Recall:
        """What the session remembers, if the request asks for it and its plan reads it."""
        if not request.recall or not (kind in recalling.KINDS or request.blueprint is not None):
            return Recall()
        run, top_k = journal.run, request.recall
        work = partial(recalling.recall, run, self._memories, request.message, top_k=top_k, limits=self._limits)
        return Recall.from_json(await once(journal, "recall", work))

    async def _page(self, journal: Journal) -> Outcome:
        body = journal.run.body
        plan = requests.compiled(body.get("blueprint"), tools=self._tools(journal))
        inputs = requests.inputs(plan, body.get("inputs"))
        saved = body.get("workflow") or {}  # where the blueprint came from, when the run was accepted
        return answers.paged(await self._execute(journal, plan, inputs, workflow_id=str(saved.get("id") or "")))

    async def _patch(self, journal: Journal) -> Outcome:
        return answers.paged(await self._changes.requested(journal, requests.patch(journal.run.body)))

    async def _document(self, journal: Journal) -> Outcome:
        return Outcome({"document": await once(journal, "ingest", lambda: self._ingest(journal))})

    async def _execute(
        self, journal: Journal, plan: Plan, inputs: Mapping[str, Json], *, workflow_id: str = ""
    ) -> Executed:
        return await pages.made(journal, plan, inputs=inputs, parts=self._parts, workflow_id=workflow_id)

    def _tools(self, journal: Journal) -> Tools:
        return catalog.schemas(self._toolbox, journal.run.tenant_id)

    async def _history(self, journal: Journal) -> Sequence[Turn]:
        return await retrying.until_deadline(
            lambda: self._sessions.history(journal.run, limit=self._limits.history_turns),
            part="the session store",
            deadline_s=self._limits.history_deadline_s,
            sleep=self._parts.sleep,
        )

    async def _asked(
        self,
        journal: Journal,
        step: str,
        ask: Callable[[], Awaitable[T]],
        *,
        part: str,
        deadline_s: float,
        invalid: FailureCode = FailureCode.INTERNAL,
    ) -> T:
        """Ask another service for a step's work; readers hear when that waits for the quota. Raises `RunFailed`."""
        work = retrying.until_deadline(ask, part=part, deadline_s=deadline_s, invalid=invalid, sleep=self._parts.sleep)
        return await Notices(journal, quiet_s=self._limits.notice_s).during(step, work, self._waits)

    async def _route(self, journal: Journal, request: Conversation, history: Sequence[Turn]) -> Done:
        routed = await self._asked(
            journal,
            "route",
            lambda: self._router.route(
                journal.run,
                message=request.message,
                mode=request.mode,
                has_blueprint=request.blueprint is not None,
                history=history,
            ),
            part="the router",
            deadline_s=self._limits.route_deadline_s,
        )
        intent = {"kind": routed.intent, "confidence": routed.confidence, "decided_by": routed.decided_by}
        return Done(intent, routed.usage, (events.custom("headrace.intent", intent),))

    async def _plan(
        self,
        journal: Journal,
        request: Conversation,
        intent: str,
        history: Sequence[Turn],
        resolved: Resolved,
        recalled: Recall = NOTHING,
    ) -> Done:
        if request.blueprint is not None:
            requests.compiled(request.blueprint, tools=self._tools(journal))
            warnings = list(recalled.warnings)
            return _planned({"blueprint": request.blueprint, "origin": "request", "warnings": warnings})
        offer = offered(intent, self._toolbox.tools(journal.run.tenant_id), request.tools)
        planned = await self._asked(
            journal,
            "plan",
            lambda: self._planner.plan(
                journal.run,
                intent=intent,
                message=request.message,
                workspace=request.workspace,
                model=request.model,
                tools=offer.names,
                sources=request.sources,
                history=history,
                tool_specs=offer.tools,
                entities=resolved.entities,
                recalled=bool(recalled.text),
            ),
            part="the planner",
            deadline_s=self._limits.plan_deadline_s,
        )
        requests.compiled(planned.blueprint, tools=self._tools(journal))
        warnings = [*recalled.warnings, *resolved.warnings, *offer.warnings, *planned.warnings]
        output = {"blueprint": planned.blueprint, "origin": planned.origin, "warnings": warnings}
        done = _planned(output)
        return Done(output, planned.usage, done.events)

    async def _ingest(self, journal: Journal) -> Done:
        body = journal.run.body
        text = requests.text(body, "text")
        document_id = requests.text(body, "document_id")
        document, usage = await self._asked(
            journal,
            "ingest",
            lambda: self._rag.ingest(
                journal.run,
                document_id=document_id,
                title=str(body.get("title") or ""),
                text=text,
                workspace=str(body.get("workspace") or ""),
            ),
            part="the rag service",
            deadline_s=self._limits.ingest_deadline_s,
        )
        if document.get("status") == "failed":
            raise RunFailed(FailureCode.PROVIDER, f"The document could not be read: {document.get('error')}.")
        return Done(document, usage)


def _planned(output: Json) -> Done:
    shown = {"origin": output["origin"], "warnings": output["warnings"]}
    return Done(output, events=(events.custom("headrace.plan", shown),))
