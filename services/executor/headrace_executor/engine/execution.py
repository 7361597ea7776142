"""Runs a plan: what earlier owners finished is taken over, the rest is scheduled, the output is looked up."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace_blueprint.plan import Plan

from headrace_executor.engine import catalog, flows, page, requests, searches
from headrace_executor.engine.allowance import Allowance
from headrace_executor.engine.frames import Frame, finished
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.nodes.runner import NodeRunner
from headrace_executor.engine.phases import Phases
from headrace_executor.engine.rewriting import Rewrite
from headrace_executor.engine.scope import Scope
from headrace_executor.engine.steps import GAP
from headrace_executor.model import Json
from headrace_executor.ports import Gap, Journal, PageRef


@dataclass(frozen=True, slots=True)
class Start:
    """How a plan begins that changes a page. What is kept of the page is recorded as finished already."""

    shown: Mapping[str, Json] = field(default_factory=dict)
    """What readers see of nodes, by their ids, until they have run."""
    left_out: frozenset[str] = frozenset()
    """Nodes that neither run nor have an output; nothing that runs needs them."""
    rewrites: Mapping[str, Rewrite] = field(default_factory=dict)
    sources: Sequence[Json] = ()
    """Passages that the page cites, if searches are left out."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A plan that has run."""

    plan: Plan
    outputs: Mapping[str, Json]
    """By node; a skipped or failed node's is None."""
    output: Json
    """What the blueprint's `output` stands for."""
    gaps: Sequence[Gap] = ()
    """Where optional nodes failed, in the order of the plan."""
    searches: Sequence[Json] = ()
    """The outputs of all searches, those in maps and flows included."""
    limits: Limits = field(default_factory=Limits)
    page: PageRef | None = None
    """The version of a page that was made of it."""


NOTHING = Start()


async def execute(
    journal: Journal,
    plan: Plan,
    *,
    inputs: Mapping[str, Json],
    parts: Parts,
    start: Start = NOTHING,
    workflow_id: str = "",
) -> Executed:
    """Run what is left of a plan. Raises `RunFailed`.

    Readers get a snapshot with the slots that are filled already, then a change with each slot that is filled. A node
    whose `when` is false, or that no branch chose, has the output null, and what needs it runs all the same.
    `workflow_id` is the plan's own when it is a saved workflow.
    """
    tools = catalog.schemas(parts.toolbox, journal.run.tenant_id)
    used = await flows.load(
        journal, plan, parts=parts, workflow_id=workflow_id, compiled=lambda one: requests.compiled(one, tools=tools)
    )
    done = finished(plan, journal.steps)
    allowance = Allowance(parts.limits, left_s=_left_s(journal, parts), recorded=_recorded(journal))
    max_bytes = parts.limits.max_event_bytes
    journal.emit(page.snapshot(plan.blueprint, {**start.shown, **done}, max_bytes=max_bytes))
    left = [name for name in plan.order if name not in done and name not in start.left_out]
    runner = NodeRunner(journal, parts, allowance, flows=used, phases=Phases(plan, left))
    frame = Frame(plan, Scope(inputs, done), allowance.until, rewrites=start.rewrites)
    await runner.graph(frame, left_out=start.left_out)
    outputs = {name: frame.scope.outputs[name] for name in plan.order if name in frame.scope.outputs}
    return Executed(
        plan,
        outputs,
        frame.output(),
        _gaps(plan, journal),
        (*searches.found(plan, outputs, flows=used, steps=journal.steps), {"chunks": start.sources}),
        parts.limits,
    )


def _left_s(journal: Journal, parts: Parts) -> float:
    return (journal.run.deadline - parts.now()).total_seconds()


def _recorded(journal: Journal) -> dict[str, Json]:
    """The outputs of all finished nodes by their paths; a model's rounds of tool calls (`#`) are no nodes."""
    steps = journal.steps.items()
    return {name.removeprefix("node:"): one.output for name, one in steps if name.startswith("node:") and "#" not in name}


def _gaps(plan: Plan, journal: Journal) -> Sequence[Gap]:
    """All gaps in the order of the plan, but those inside a map or a flow that is a gap itself."""
    found = {
        name.removeprefix(GAP): Gap(name.removeprefix(GAP), one.output["code"], one.output["message"])
        for name, one in journal.steps.items()
        if name.startswith(GAP)
    }
    place = {f"node:{name}": index for index, name in enumerate(plan.order)}

    def order(step: str) -> tuple[int, Sequence[int | str]]:
        head, *inner = re.split(r"[\[\]/]+", step)
        return place.get(head, len(place)), [int(one) if one.isdigit() else one for one in inner]

    whole = [step for step in found if not any(step.startswith((f"{one}[", f"{one}/")) for one in found)]
    return tuple(found[step] for step in sorted(whole, key=order))
