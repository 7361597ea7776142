"""Planning: a built-in blueprint where there is one, else a plan made before, a model's, or the template. Always valid."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from headrace_blueprint import validation
from headrace_blueprint.faults import Fault, InvalidBlueprint
from headrace_blueprint.tools import Tool
from headrace_llm.errors import UnknownModel
from headrace_llm.usage import Usage

from headrace_planner import answering, metrics, policy, quizzes, reuse, toolbox
from headrace_planner.drafting import Drafting, Limits
from headrace_planner.errors import DraftFailed
from headrace_planner.library import Library
from headrace_planner.model import RUNNABLE, Intent, Origin, Plan, Request
from headrace_planner.ports import Drafter
from headrace_planner.reuse import Reuse

RESERVE_S = 1.0
"""Of the caller's deadline, kept for the template and the way back."""

MAX_FAULT_CHARS = 300
"""How much of a draft's fault a warning shows."""

log = structlog.get_logger()


class Planner:
    """Makes plans. Without `reuse` each is made anew. `clock` gives seconds that only grow."""

    def __init__(
        self,
        library: Library,
        drafter: Drafter,
        *,
        limits: Limits,
        reuse: Reuse | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._library = library
        self._drafter = drafter
        self._limits = limits
        self._reuse = reuse
        self._clock = clock

    async def plan(self, request: Request, *, budget_s: float | None) -> Plan:
        """Make a valid blueprint for a request, within `budget_s` seconds when the caller has a deadline."""
        started = self._clock()
        known, warnings = toolbox.allowed(request)
        warnings = (*request.warnings, *warnings)
        if policy.is_planned_by_model(request.intent):
            plan = await self._kept_or_made(request, known, self._deadline(started, budget_s))
        else:
            called = [tool.name for tool in known] if request.tools and request.intent.is_conversational else []
            plan = self._builtin(request, Origin.BUILTIN, (), Usage(), called)
        plan = replace(plan, warnings=(*warnings, *plan.warnings))
        metrics.PLANS.labels(request.intent.value, plan.origin.value).inc()
        metrics.SECONDS.labels(plan.origin.value).observe(self._clock() - started)
        return plan

    def faults(self, data: bytes, specs: Sequence[Tool] = ()) -> Sequence[Fault]:
        """Everything that is wrong with a blueprint that may call the built-in tools and these."""
        try:
            document = validation.loads(data)
        except InvalidBlueprint as error:
            return error.faults
        return validation.validate(document, tools=toolbox.schemas((*specs, *toolbox.BUILTIN)), kinds=RUNNABLE)

    def _deadline(self, started: float, budget_s: float | None) -> float:
        timeout = self._limits.plan_timeout_s
        return started + (timeout if budget_s is None else min(timeout, budget_s - RESERVE_S))

    def _builtin(
        self, request: Request, origin: Origin, warnings: tuple[str, ...], usage: Usage, tools: Sequence[str] = ()
    ) -> Plan:
        answer_tokens = self._answer_tokens(request.model)
        made = policy.fitted(self._document(request, tools, answer_tokens), request, tools, answer_tokens=answer_tokens)
        return Plan(made, origin, warnings, usage)

    def _document(self, request: Request, tools: Sequence[str], answer_tokens: int) -> Mapping[str, Any]:
        if request.intent.is_conversational:
            return answering.blueprint(request, tools)
        return self._library.blueprints[policy.template_name(request, answer_tokens=answer_tokens)]

    def _answer_tokens(self, model: str) -> int:
        try:
            return self._drafter.answer_tokens(model)
        except UnknownModel:
            return quizzes.WHOLE_TOKENS  # whoever runs the plan says which models there are

    async def _kept_or_made(self, request: Request, known: tuple[Tool, ...], deadline: float) -> Plan:
        if self._reuse is None:
            return await self._by_model(request, known, deadline)
        key = reuse.key(request, known, planner=self._drafter.identity, prompts=self._library.digest)
        kept = await self._reuse.find(key)
        if kept is not None:
            # Tools of the same name and schema are part of the key; what else a plan needs may have changed meanwhile.
            if not validation.validate(kept.blueprint, tools=toolbox.schemas(known), kinds=RUNNABLE):
                return Plan(kept.blueprint, Origin.REUSED, kept.warnings)
            metrics.REUSE.labels("stale").inc()
        plan = await self._by_model(request, known, deadline)
        await self._reuse.keep(key, plan)
        return plan

    async def _by_model(self, request: Request, known: tuple[Tool, ...], deadline: float) -> Plan:
        warnings: tuple[str, ...] = ()
        if request.intent is Intent.PATCH:
            warnings = ("a plan changes no page: this one makes a page anew",)
        drafting = Drafting(request, library=self._library, drafter=self._drafter, limits=self._limits, clock=self._clock)
        try:
            blueprint = await drafting.run(known, deadline=deadline)
        except DraftFailed as error:
            metrics.DRAFT_FAILURES.labels(error.reason).inc()
            log.info("draft_failed", reason=error.reason)
            warnings = (*warnings, f"this is the template plan: {error.message}")
            return self._builtin(request, Origin.TEMPLATE, warnings, drafting.usage)
        if blueprint is None:
            log.info("draft_given_up", repairs=drafting.repairs)
            wrong = policy.shown(drafting.faults[:1]).removeprefix("- ")[:MAX_FAULT_CHARS]
            after = f"the model's is not valid after {_repairs(drafting.repairs)}: {wrong}"
            warnings = (*warnings, f"this is the template plan: {after}")
            return self._builtin(request, Origin.TEMPLATE, warnings, drafting.usage)
        if drafting.repairs:
            warnings = (*warnings, f"the model's plan needed {_repairs(drafting.repairs)}")
            return Plan(blueprint, Origin.REPAIRED, warnings, drafting.usage)
        return Plan(blueprint, Origin.MODEL, warnings, drafting.usage)


def _repairs(count: int) -> str:
    return "one repair" if count == 1 else f"{count} repairs"
