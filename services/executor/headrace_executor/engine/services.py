"""The steps that other services do: route, plan, patch, ingest. Each is asked for until the step's deadline."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from headrace_tools.ports import Toolbox

from headrace_executor import events
from headrace_executor.engine import catalog, patching, requests, retrying
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.notices import Notices
from headrace_executor.engine.patching import Base
from headrace_executor.engine.recalling import NOTHING, Recall
from headrace_executor.engine.requests import Conversation
from headrace_executor.engine.resolving import Resolved
from headrace_executor.engine.retrying import Sleep
from headrace_executor.engine.steps import Done
from headrace_executor.engine.tool_offer import offered
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode
from headrace_executor.ports import Journal, Patched, Planner, Rag, Router, Turn, Waits

T = TypeVar("T")


class Services:
    """Router, planner and rag as the steps of a run ask them; readers hear when that waits for the quota."""

    def __init__(
        self,
        router: Router,
        planner: Planner,
        rag: Rag,
        *,
        toolbox: Toolbox,
        waits: Waits | None,
        limits: Limits,
        sleep: Sleep,
    ) -> None:
        self._router = router
        self._planner = planner
        self._rag = rag
        self._toolbox = toolbox
        self._waits = waits
        self._limits = limits
        self._sleep = sleep

    async def route(self, journal: Journal, request: Conversation, history: Sequence[Turn]) -> Done:
        """Find out what a message asks for. Raises `RunFailed`."""
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

    async def plan(
        self,
        journal: Journal,
        request: Conversation,
        intent: str,
        history: Sequence[Turn],
        resolved: Resolved,
        recalled: Recall = NOTHING,
    ) -> Done:
        """Have a plan made, or take the request's own. It can be compiled. Raises `RunFailed`."""
        tools = catalog.schemas(self._toolbox, journal.run.tenant_id)
        if request.blueprint is not None:
            requests.compiled(request.blueprint, tools=tools)
            own = {"blueprint": request.blueprint, "origin": "request", "warnings": list(recalled.warnings)}
            return Done(own, events=(events.planned("request", recalled.warnings),))
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
        requests.compiled(planned.blueprint, tools=tools)
        warnings = [*recalled.warnings, *resolved.warnings, *offer.warnings, *planned.warnings]
        output = {"blueprint": planned.blueprint, "origin": planned.origin, "warnings": warnings}
        return Done(output, planned.usage, (events.planned(planned.origin, warnings),))

    async def patch(self, journal: Journal, page: Base, instruction: str, model: str) -> Patched:
        """Have a change of a page planned. Raises `RunFailed`."""
        tools = [entry.tool for entry in self._toolbox.tools(journal.run.tenant_id).values()]
        return await self._asked(
            journal,
            "plan",
            lambda: self._planner.patch(
                journal.run,
                blueprint=page.blueprint,
                inputs=page.inputs,
                instruction=instruction,
                slots=patching.views(page),
                model=model,
                tools=tools,
            ),
            part="the planner",
            deadline_s=self._limits.plan_deadline_s,
            invalid=FailureCode.INVALID_BLUEPRINT,
        )

    async def ingest(self, journal: Journal) -> Done:
        """Have the run's document read. Raises `RunFailed`."""
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
        work = retrying.until_deadline(ask, part=part, deadline_s=deadline_s, invalid=invalid, sleep=self._sleep)
        return await Notices(journal, quiet_s=self._limits.notice_s).during(step, work, self._waits)
