"""Runs a plan: what earlier owners finished is taken over, the rest is scheduled, the output is looked up."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace_blueprint import references
from headrace_blueprint.plan import Plan

from headrace_executor.engine import page
from headrace_executor.engine import scheduler as engine
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.nodes.runner import NodeRunner
from headrace_executor.engine.scope import Scope
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Journal


@dataclass(frozen=True, slots=True)
class Executed:
    """A plan that has run."""

    plan: Plan
    outputs: Mapping[str, Json]
    """By node; a skipped node's is None."""
    output: Json
    """What the blueprint's `output` stands for."""


async def execute(journal: Journal, plan: Plan, *, inputs: Mapping[str, Json], parts: Parts) -> Executed:
    """Run what is left of a plan. Raises `RunFailed`.

    Readers get a snapshot with the slots that are filled already, then a change with each slot that is filled. A node
    whose `when` is false has the output null, and what needs it runs all the same.
    """
    recorded = {node: journal.steps[f"node:{node}"].output for node in plan.order if f"node:{node}" in journal.steps}
    scope = Scope(inputs, recorded, parts.limits)
    journal.emit(page.snapshot(plan.blueprint, recorded, max_bytes=parts.limits.max_event_bytes))
    runner = NodeRunner(journal, plan, scope, parts)
    needs = {node: plan.needs[node] for node in plan.order}
    await engine.run_graph(needs, runner, finished=recorded, max_parallel=parts.limits.max_parallel_nodes)
    try:
        output = references.resolve(plan.blueprint.output, scope.seen(plan.order))
    except (references.MissingReference, references.ResolvedTooLarge) as error:
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"The blueprint's output: {error}.") from error
    return Executed(plan, {node: scope.outputs[node] for node in plan.order}, output)
