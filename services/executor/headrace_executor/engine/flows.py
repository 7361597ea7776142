"""The saved workflows that a run uses: all of them, loaded and recorded before its first node.

An owner that takes the run over sees the same revisions, whatever was saved meanwhile.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from headrace_blueprint.flows import MAX_FLOWS, TOO_MANY, refusal, workflow_ids
from headrace_blueprint.plan import Plan

from headrace_executor.engine import retrying
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.steps import Done, once
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Journal, SavedWorkflow

Compile = Callable[[Json], Plan]


async def load(
    journal: Journal, plan: Plan, *, parts: Parts, compiled: Compile, workflow_id: str = ""
) -> Mapping[str, Plan]:
    """The plans of the workflows that a plan uses, directly or not, by their ids. Raises `RunFailed`.

    `workflow_id` is the plan's own when it is a saved workflow itself.
    """
    if not workflow_ids(plan.blueprint):
        return {}
    loading = _Loading(journal, parts, compiled)

    async def collect() -> Done:
        await loading.all(plan, workflow_id)
        return Done(loading.content)

    content = await once(journal, "flows", collect)
    return {name: loading.plans.get(name) or loading.compile(name, one["blueprint"]) for name, one in content.items()}


class _Loading:
    """One pass over a run's workflows."""

    def __init__(self, journal: Journal, parts: Parts, compiled: Compile) -> None:
        self.content: dict[str, Json] = {}
        """By id: {revision, blueprint}."""
        self.plans: dict[str, Plan] = {}
        self._journal = journal
        self._parts = parts
        self._compiled = compiled

    async def all(self, plan: Plan, workflow_id: str) -> None:
        """Load what a plan leads to. Raises `RunFailed`."""
        leads: dict[str, Sequence[str]] = {workflow_id: workflow_ids(plan.blueprint)}
        pending = deque(leads[workflow_id])
        while pending:
            name = pending.popleft()
            if name not in leads:
                if len(self.plans) == MAX_FLOWS:
                    raise _refused(f"The blueprint cannot be run: {TOO_MANY}.")
                leads[name] = workflow_ids((await self._plan(name)).blueprint)
                pending += leads[name]
        if (why := refusal(workflow_id, leads)) is not None:
            raise _refused(f"The blueprint cannot be run: {why}.")

    def compile(self, name: str, blueprint: Json) -> Plan:
        """The plan of a workflow. Raises `RunFailed`, which names it."""
        try:
            return self._compiled(blueprint)
        except RunFailed as failed:
            raise _refused(f"The workflow {name!r} cannot be run: {failed.failure.message}") from failed

    async def _plan(self, name: str) -> Plan:
        saved = await self._saved(name)
        self.plans[name] = plan = self.compile(name, saved.blueprint)
        self.content[name] = {"revision": saved.revision, "blueprint": saved.blueprint}
        return plan

    async def _saved(self, name: str) -> SavedWorkflow:
        workflows, run = self._parts.workflows, self._journal.run
        saved = None
        if workflows is not None:
            saved = await retrying.until_deadline(
                lambda: workflows.get(run.tenant_id, name),
                part="the workflow store",
                deadline_s=self._parts.limits.store_deadline_s,
                sleep=self._parts.sleep,
            )
        if saved is None:
            raise _refused(f"There is no saved workflow {name!r}; save it, or name another in the flow's workflow_id.")
        return saved


def _refused(text: str) -> RunFailed:
    return RunFailed(FailureCode.INVALID_BLUEPRINT, text)
