"""Where a node stands in its run: in which blueprint, under which path, with what it may see. Plain data; no I/O.

A run's own blueprint is one frame, each flow inside it another. A node's path names its step and its messages: `a`,
`m[3]` for item 3 of a map, `f/a` for a node of a flow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headrace_blueprint import references
from headrace_blueprint.model import Map, Node
from headrace_blueprint.plan import Plan

from headrace_executor.engine import rewriting
from headrace_executor.engine.rewriting import Rewrite
from headrace_executor.engine.scope import Scope
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json, StepRecord


@dataclass(frozen=True, slots=True)
class Frame:
    """One blueprint that is being run."""

    plan: Plan
    scope: Scope
    until: float
    """When its nodes' time is over, on the event loop's clock."""
    prefix: str = ""
    """What its nodes' paths begin with: "" for the run's own, FLOW/ for a flow's."""
    unblocks: int = 0
    """How many nodes outside wait for it."""
    rewrites: Mapping[str, Rewrite] = field(default_factory=dict)
    """Nodes that are written anew: by their own model, or by those inside them."""

    def site(self, name: str) -> "Site":
        """Where one of its nodes stands."""
        plan = self.plan
        return Site(
            self,
            name,
            plan.nodes[name],
            f"{self.prefix}{name}",
            self.scope,
            self.until,
            guards=plan.guards.get(name, ()),
            rewrite=self.rewrites.get(name),
        )

    def output(self) -> Json:
        """What the blueprint's `output` stands for when its nodes have run. Raises `RunFailed`."""
        try:
            return references.resolve(self.plan.blueprint.output, self.scope.seen(self.scope.outputs))
        except (references.MissingReference, references.ResolvedTooLarge) as error:
            raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"The blueprint's output: {error}.") from error


@dataclass(frozen=True, slots=True)
class Site:
    """One node of a frame, or the node inside a map for one item."""

    frame: Frame
    name: str
    """The frame's node: the map's, for an item."""
    node: Node
    path: str
    scope: Scope
    until: float
    index: int | None = None
    """Of an item, from 0."""
    guards: tuple[str, ...] = ()
    rewrite: Rewrite | None = None

    @property
    def step(self) -> str:
        """The node's step."""
        return f"node:{self.path}"

    @property
    def is_whole(self) -> bool:
        """Whether it is a node of its frame's graph, and no item."""
        return self.index is None

    @property
    def is_top(self) -> bool:
        """Whether it is a node of the run's own graph."""
        return self.is_whole and not self.frame.prefix

    @property
    def needs(self) -> frozenset[str]:
        """Nodes of the frame whose outputs it may see."""
        return self.frame.plan.needs[self.name]

    @property
    def unblocks(self) -> int:
        """How many nodes wait for it, directly or not."""
        return self.frame.plan.unblocks[self.name] + self.frame.unblocks

    def item(self, map_node: Map, index: int, value: Json, *, until: float) -> "Site":
        """Where the node inside this map stands for one item."""
        return replace(
            self,
            node=map_node.node,
            path=f"{self.path}[{index}]",
            scope=self.scope.inside(map_node.as_, value),
            until=until,
            index=index,
            guards=(),
            rewrite=self.rewrite.of_item(index) if self.rewrite else None,
        )

    def flow(self, plan: Plan, inputs: Mapping[str, Json], steps: Mapping[str, StepRecord], *, until: float) -> Frame:
        """The frame of a saved workflow that runs as this node, with what earlier owners finished in it."""
        prefix = f"{self.path}/"
        scope, rewrites = Scope(inputs, finished(plan, steps, prefix)), rewriting.inside(self.rewrite, plan)
        return Frame(plan, scope, until, prefix, self.unblocks, rewrites)


def finished(plan: Plan, steps: Mapping[str, StepRecord], prefix: str = "") -> dict[str, Json]:
    """The outputs of a plan's nodes that are recorded, in the plan's order."""
    names = {name: f"node:{prefix}{name}" for name in plan.order}
    return {name: steps[step].output for name, step in names.items() if step in steps}
