"""Changes pages by one sentence: loads the page, asks the planner, runs what it says, keeps the new version."""

from collections.abc import Awaitable, Callable

from headrace_blueprint.validation import Tools

from headrace_executor.engine import catalog, pages, patching, requests
from headrace_executor.engine.execution import Executed
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.patching import Base
from headrace_executor.engine.requests import Conversation, Patch
from headrace_executor.engine.services import Services
from headrace_executor.engine.steps import Done, once
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode
from headrace_executor.ports import Journal


class Changes:
    """Changes of pages, whether a request names the page or its session does."""

    def __init__(self, services: Services, parts: Parts) -> None:
        self._services = services
        self._parts = parts

    async def requested(self, journal: Journal, request: Patch) -> Executed:
        """Change the page that a request names or brings along. Raises `RunFailed`."""

        async def base() -> Base:
            if request.page is not None:
                return patching.of_body(request.page)
            return await patching.load(journal.run, request.page_id, request.version, parts=self._parts)

        return await self._change(journal, base, instruction=request.instruction, model=request.model)

    async def newest(self, journal: Journal, request: Conversation) -> Executed | None:
        """Change the page that the session made or changed last; None when it made none. Raises `RunFailed`."""
        record = journal.steps.get("plan")
        if record is not None and not patching.is_change(record.output):
            return None
        base = None if record is not None else await patching.newest(journal.run, parts=self._parts)
        if record is None and base is None:
            return None

        async def found() -> Base:
            assert base is not None
            return base

        return await self._change(journal, found, instruction=request.message, model=request.model)

    async def _change(
        self, journal: Journal, base: Callable[[], Awaitable[Base]], *, instruction: str, model: str
    ) -> Executed:
        """`base` is asked for only if an earlier owner has not planned the change."""
        tools = catalog.schemas(self._parts.toolbox, journal.run.tenant_id)
        recorded = await once(journal, "plan", lambda: self._planned(journal, base, instruction, model, tools))
        plan = requests.compiled(recorded["blueprint"], tools=tools)
        return await pages.made(
            journal,
            plan,
            inputs=requests.inputs(plan, recorded["inputs"]),
            parts=self._parts,
            start=patching.start(plan, recorded, instruction),
            parent=patching.parent(recorded),
            instruction=instruction,
        )

    async def _planned(
        self, journal: Journal, base: Callable[[], Awaitable[Base]], instruction: str, model: str, tools: Tools
    ) -> Done:
        page = await base()
        requests.compiled(page.blueprint, tools=tools)
        patched = await self._services.patch(journal, page, instruction, model)
        if patched.unclear:
            journal.spent(patched.usage)
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"The page was not changed: {patched.unclear}.")
        plan = requests.compiled(patched.blueprint, tools=tools)
        requests.inputs(plan, patched.inputs)
        return patching.done(plan, page, patched)
