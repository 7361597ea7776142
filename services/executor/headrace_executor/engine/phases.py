"""The three phases of a page, data → compute → compose, as steps around those of their nodes. They may overlap.

A phase opens before its first node and closes behind its last one. Which node belongs to which the plan says.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from headrace_blueprint.plan import Plan

from headrace_executor import events
from headrace_executor.ports import Event


class Phases:
    """The phases of one owner's part of a run; a blueprint without a layout has none."""

    def __init__(self, plan: Plan, left: Collection[str]) -> None:
        """`left` are the nodes that have not finished: a phase without any is not opened again."""
        self._of = plan.phase if plan.blueprint.layout else {}
        self._left = Counter(self._of[node] for node in left if node in self._of)
        self._open: set[str] = set()

    def before(self, node: str) -> Sequence[Event]:
        """What readers get before a node's step starts."""
        phase = self._of.get(node)
        if phase is None or phase in self._open:
            return ()
        self._open.add(phase)
        return (events.step_started(phase),)

    def after(self, node: str) -> Sequence[Event]:
        """What readers get behind a node's step, skipped or not."""
        phase = self._of.get(node)
        if phase is None:
            return ()
        self._left[phase] -= 1
        return () if self._left[phase] else (events.step_finished(phase),)
