"""What is inside maps and flows: items and nested graphs, run by the run's own runner. Implements `attempt.Inside`."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace_blueprint.model import Map
from headrace_blueprint.plan import Plan

from headrace_executor.engine import page
from headrace_executor.engine.allowance import Allowance
from headrace_executor.engine.frames import Frame, Site
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.model import Json
from headrace_executor.ports import Journal


class Runner(Protocol):
    """The part of `runner.NodeRunner` that containers use."""

    def graph(self, frame: Frame) -> Awaitable[None]:
        """Run what is left of a frame."""

    def node(self, site: Site) -> Awaitable[Json]:
        """Run one node and return its output."""


@dataclass(frozen=True, slots=True)
class Insides:
    """One attempt at one map or flow."""

    runner: Runner
    site: Site
    until: float
    journal: Journal
    parts: Parts
    allowance: Allowance
    flows: Mapping[str, Plan]

    def expect(self, items: Sequence[Json]) -> None:
        """Count the items that are left and show readers the list that they fill, with those that are there."""
        steps = [f"{self.site.step}[{index}]" for index in range(len(items))]
        self.allowance.room_for(sum(step not in self.journal.steps for step in steps))
        if self.site.frame.prefix:
            return
        blueprint, name, max_bytes = self.site.frame.plan.blueprint, self.site.name, self.parts.limits.max_event_bytes
        self.journal.emit(*page.listed(blueprint, name, len(items)))
        for index, step in enumerate(steps):
            record = self.journal.steps.get(step)
            if record is not None and record.output is not None:
                self.journal.emit(*page.item(blueprint, name, index, record.output, max_bytes=max_bytes))

    async def item(self, index: int, value: Json) -> Json:
        """Run the node inside a map for one item."""
        assert isinstance(self.site.node, Map)
        return await self.runner.node(self.site.item(self.site.node, index, value, until=self.until))

    def workflow(self, workflow_id: str) -> Plan:
        """The revision of a saved workflow that the run uses: all were loaded before its first node."""
        return self.flows[workflow_id]

    async def flow(self, plan: Plan, inputs: Mapping[str, Json]) -> Json:
        """Run a workflow as this node."""
        frame = self.site.flow(plan, inputs, self.journal.steps, until=self.until)
        await self.runner.graph(frame)
        return frame.output()
