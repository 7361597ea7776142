"""The saved workflows that a run uses: all of them, loaded and recorded before its first node.

An owner that takes the run over sees the same revisions, whatever was saved meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from headrace_blueprint.model import Flow, Map
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
    if not any(used(plan)):
        return {}
    loading = _Loading(journal, parts, compiled)

    async def collect() -> Done:
        await loading.visit(plan, (workflow_id,) if workflow_id else (), depth=0)
        return Done(loading.content)

    content = await once(journal, "flows", collect)
    return {name: loading.plans.get(name) or loading.compile(name, one["blueprint"]) for name, one in content.items()}


def used(plan: Plan) -> Iterator[str]:
    """The workflows that a plan names, in its order."""
    for node in plan.nodes.values():
        inner = node.node if isinstance(node, Map) else node
        if isinstance(inner, Flow):
            yield inner.workflow_id


class _Loading:
    """One pass over a run's workflows."""

    def __init__(self, journal: Journal, parts: Parts, compiled: Compile) -> None:
        self.content: dict[str, Json] = {}
        """By id: {revision, blueprint}."""
        self.plans: dict[str, Plan] = {}
        self._journal = journal
        self._parts = parts
        self._compiled = compiled
        self._depths: dict[str, int] = {}

    async def visit(self, plan: Plan, path: tuple[str, ...], *, depth: int) -> None:
        """Load what a plan uses, unless it was visited as deep before."""
        for name in dict.fromkeys(used(plan)):
            if name in path:
                raise _refused(f"The workflow {name!r} would come back to itself: {_chain((*path, name))}.")
            most = self._parts.limits.max_flow_depth
            if depth >= most:
                raise _refused(
                    f"Flows are inside each other more than {most} deep (max_flow_depth): {_chain((*path, name))}."
                )
            if self._depths.get(name, -1) >= depth:
                continue
            self._depths[name] = depth
            await self.visit(await self._plan(name), (*path, name), depth=depth + 1)

    def compile(self, name: str, blueprint: Json) -> Plan:
        """The plan of a workflow. Raises `RunFailed`, which names it."""
        try:
            return self._compiled(blueprint)
        except RunFailed as failed:
            raise _refused(f"The workflow {name!r} cannot be run: {failed.failure.message}") from failed

    async def _plan(self, name: str) -> Plan:
        if name not in self.plans:
            if len(self.plans) >= self._parts.limits.max_flows:
                raise _refused(f"The run uses more than {self._parts.limits.max_flows} saved workflows (max_flows).")
            saved = await self._saved(name)
            self.plans[name] = self.compile(name, saved.blueprint)
            self.content[name] = {"revision": saved.revision, "blueprint": saved.blueprint}
        return self.plans[name]

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


def _chain(path: Sequence[str]) -> str:
    return " → ".join(path)


def _refused(text: str) -> RunFailed:
    return RunFailed(FailureCode.INVALID_BLUEPRINT, text)
