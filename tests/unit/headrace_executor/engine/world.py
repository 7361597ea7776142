"""One blueprint through the engine over fakes, on a clock that jumps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_executor.engine import catalog, requests
from headrace_executor.engine.execution import NOTHING, Executed, Start, execute
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.errors import RunFailed

from tests.support import agui
from tests.support.executor_fakes import (
    NOW,
    FakeCel,
    FakeJournal,
    FakeModels,
    FakeRag,
    FakeWorkflows,
    Log,
    claimed,
    no_sleep,
)
from tests.support.toolbox import FakeToolbox

Json = Any


def blueprint(*nodes: Mapping[str, Json], output: str = "a", inputs: Json = None, slots: Sequence[str] = ()) -> Json:
    """A blueprint whose output is node `output`'s, with a slot for each node of `slots`."""
    schema = inputs or {"additionalProperties": True}
    layout = {"layout": [{"slot": name, "title": name.upper(), "node": name} for name in slots]} if slots else {}
    document = {"version": 1, "name": "test", "inputs": schema, "nodes": list(nodes)}
    return {**document, **layout, "output": f"${{nodes.{output}.output}}"}


@dataclass
class World:
    """What a run is given, and its log."""

    models: Any = field(default_factory=FakeModels)
    rag: Any = field(default_factory=FakeRag)
    workflows: FakeWorkflows = field(default_factory=FakeWorkflows)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    owner: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the claimed run."""
    sleep: Any = no_sleep
    toolbox: FakeToolbox = field(default_factory=FakeToolbox)
    journal: FakeJournal = field(init=False)

    def parts(self) -> Parts:
        return Parts(
            self.rag,
            self.models,
            FakeCel(),
            lambda: NOW,
            self.limits,
            self.sleep,
            self.toolbox,
            workflows=self.workflows,
            jitter=lambda: 1.0,
        )

    async def run(
        self, document: Json, *, inputs: Json = None, start: Start = NOTHING, workflow_id: str = "", **crash: Any
    ) -> Executed:
        """Run it as the next owner; whatever the end, the log is what readers have then."""
        self.owner += 1
        self.journal = FakeJournal(claimed({}, attempt=self.owner, **self.changes), log=self.log, **crash)
        plan = requests.compiled(document, tools=catalog.schemas(self.toolbox, "t1"))
        try:
            done = await execute(
                self.journal, plan, inputs=inputs or {}, parts=self.parts(), start=start, workflow_id=workflow_id
            )
        except RunFailed:
            self.journal.flush()
            raise
        self.journal.flush()
        agui.check(self.log.events, ended=False)
        return done

    async def fails(self, document: Json, **given: Any) -> RunFailed:
        """The failure that the run ends with."""
        try:
            await self.run(document, **given)
        except RunFailed as failed:
            return failed
        raise AssertionError("it did not fail")

    def values(self, name: str) -> list[Json]:
        """The values of our own events of a name."""
        return [one["value"] for one in self.log.events if one["type"] == "CUSTOM" and one["name"] == f"headrace.{name}"]

    def deltas(self) -> list[Json]:
        """All changes of the shared state."""
        return [patch for one in self.log.events if one["type"] == "STATE_DELTA" for patch in one["delta"]]

    def steps(self, kind: str) -> list[str]:
        """The names of the steps that started, or finished."""
        return [one["stepName"] for one in self.log.events if one["type"] == f"STEP_{kind}"]
