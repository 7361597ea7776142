"""A blueprint as a run of the kind page, with every part outside the engine a double."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_executor import events
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.engine.retrying import Sleep
from headrace_executor.model import Outcome, RunKind
from headrace_executor.ports import Cel, Models, Rag

from tests.support import agui
from tests.support.executor_fakes import (
    NOW,
    FakeCel,
    FakeJournal,
    FakeModels,
    FakePlanner,
    FakeRag,
    FakeRouter,
    FakeSessions,
    FakeWorkflows,
    claimed,
    no_sleep,
)
from tests.support.toolbox import FakeToolbox

Json = Any


@dataclass
class PageRun:
    """One run and its doubles."""

    blueprint: Json
    inputs: Mapping[str, Json]
    models: Models = field(default_factory=FakeModels)
    rag: Rag = field(default_factory=FakeRag)
    toolbox: FakeToolbox = field(default_factory=FakeToolbox)
    workflows: FakeWorkflows = field(default_factory=FakeWorkflows)
    cel: Cel = field(default_factory=FakeCel)
    limits: Limits = field(default_factory=Limits)
    sleep: Sleep = no_sleep

    def __post_init__(self) -> None:
        self.journal = FakeJournal(claimed({"blueprint": self.blueprint, "inputs": self.inputs}, kind=RunKind.PAGE))

    async def start(self) -> Outcome:
        """Run it to its outcome."""
        pipeline = RunPipeline(
            router=FakeRouter(),
            planner=FakePlanner({}),
            sessions=FakeSessions(),
            rag=self.rag,
            models=self.models,
            toolbox=self.toolbox,
            workflows=self.workflows,
            cel=self.cel,
            limits=self.limits,
            now=lambda: NOW,
            sleep=self.sleep,
        )
        return await pipeline.run(self.journal)

    async def output(self) -> Json:
        """Run it to its end, assert that its log is legal, and return what its blueprint's `output` stands for."""
        outcome = await self.start()
        agui.check(self.journal.finish(events.run_finished("s1", "r1", result=None, usage=[], outcome="success")))
        return outcome.output["output"]

    def outputs(self) -> Mapping[str, Json]:
        """What is recorded of its nodes, those inside maps and flows included, by their paths."""
        steps = self.journal.log.steps.items()
        return {name.removeprefix("node:"): one.output for name, one in steps if name.startswith("node:")}
