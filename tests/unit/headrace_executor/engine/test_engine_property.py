"""Whatever the graph, the delays, the failures and the moment of a crash: outputs and gaps are those of running the nodes
one after the other, nothing runs before its needs or is recorded twice, limits hold, and readers see legal events.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import jsonpatch
import pytest
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.pipeline import RunPipeline
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_executor.model import ClaimedRun, Outcome, RunKind
from headrace_executor.ports import Found, Passage, SavedWorkflow
from headrace_executor.runs.journal import RunJournal
from headrace_llm.client import ChatRequest, Completion
from headrace_llm.errors import ProviderRejected, ProviderUnavailable
from headrace_llm.usage import Usage
from headrace_runtime import errors
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import agui, virtual_time
from tests.support.executor_fakes import NOW, PAID, FakeCel, FakePages, FakePlanner, FakeRouter, FakeSessions, claimed
from tests.support.graphs import INPUTS, Case, Failed, Graph, Oracle, cases, said
from tests.support.run_store import RunStore

Json = Any
HANG_S = 10_000.0


class World:
    """Models and searches that take their time, fail as the case says, and watch how many call them at once."""

    def __init__(self, case: Case, store: RunStore, *, seed: int, parallel: int) -> None:
        self.case, self.store = case, store
        self.owner = 0
        self.parallel = parallel
        self.slow = random.Random(seed)
        self.answered: Counter[tuple[str, int]] = Counter()
        self._tries: Counter[tuple[str, int]] = Counter()
        self._calls: Counter[str] = Counter()

    def _path(self, text: str) -> str:
        path = text.partition(" ")[0]
        assert f"node:{path}" not in self.store.steps, f"{path} is recorded, and asks again"
        paid = {f"node:{need}" for need in self._needs(path) if self.answered[need, self.owner]}
        assert paid <= self.store.steps.keys(), f"{path} did not wait until what was paid for is stored"
        return path

    def _needs(self, path: str) -> list[str]:
        flow, slash, name = path.rpartition("/")
        graph = graph_at(self.case, path)
        return [f"{flow}{slash}{need}" for need in graph.needs(name.partition("[")[0])]

    @contextmanager
    def _call(self, path: str) -> Iterator[None]:
        """Count a call while it lasts."""
        self._calls[path] += 1
        assert self._calls.total() <= self.parallel
        outer, _, item = path.rpartition("[")
        if item.endswith("]"):
            beside = [one for one in self._calls.elements() if one.rpartition("[")[0] == outer]
            assert len(beside) <= graph_at(self.case, path).spec(outer.rpartition("/")[2]).concurrency
        try:
            yield
        finally:
            self._calls[path] -= 1

    async def _fate(self, path: str, passing: Exception, final: Exception) -> Exception | None:
        """Take the time that this attempt takes; what it fails with, if it does."""
        self._tries[path, self.owner] += 1
        kind, count = self.case.faults.of(path)
        await asyncio.sleep(HANG_S if kind == "hanging" else self.slow.choice([0.0, 0.5, 1.0, 3.0]))
        if kind == "passing" and self._tries[path, self.owner] <= count:
            return passing
        return final if kind == "final" else None

    async def complete(self, request: ChatRequest) -> Completion:
        prompt = request.messages[0].content
        path = self._path(prompt)
        with self._call(path):
            failure = await self._fate(path, ProviderUnavailable("broke off"), ProviderRejected("no"))
            if failure is not None:
                raise failure
        self.answered[path, self.owner] += 1
        request.on_cost(PAID)
        return Completion(f'{{"said":"{said(prompt)}"}}', "fake", PAID)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        prompt = request.messages[0].content
        path = self._path(prompt)
        with self._call(path):
            failure = await self._fate(path, ProviderUnavailable("broke off"), ProviderRejected("no"))
            yield said(prompt)[:4]
            await asyncio.sleep(self.slow.choice([0.0, 0.25]))
            if failure is not None:
                raise failure
            yield said(prompt)[4:]
        self.answered[path, self.owner] += 1
        request.on_cost(PAID)
        yield Completion(said(prompt), "fake", PAID)

    async def search(self, run: ClaimedRun, *, query: str, workspace: str, mode: str, top_k: int) -> Found:
        path = self._path(query)
        with self._call(path):
            failure = await self._fate(path, errors.Unavailable("down"), errors.InvalidArgument("no"))
            if failure is not None:
                raise failure
        return Found((Passage("d", "T", said(query), 0.5),), (), (), Usage())

    async def ingest(self, run: ClaimedRun, **_: Any) -> tuple[Json, Usage]:
        raise AssertionError("no document is read here")

    async def get(self, tenant_id: str, workflow_id: str) -> SavedWorkflow | None:
        assert "flows" not in self.store.steps, "a later owner takes the revisions that are recorded"
        await asyncio.sleep(0.5)
        graph = self.case.workflows.get(workflow_id)
        return None if graph is None else SavedWorkflow(workflow_id, 3, graph.document())


def graph_at(case: Case, path: str) -> Graph:
    """The blueprint that a node belongs to."""
    graph = case.graph
    for part in path.split("/")[:-1]:
        spec = graph.spec(part.partition("[")[0])
        graph = case.workflows[spec.workflow or (spec.inner.workflow if spec.inner else "")]
    return graph


class Verifier:
    """Reads a run's whole log as its readers do."""

    def __init__(self, case: Case, log: list[Mapping[str, Any]]) -> None:
        self.case, self.log = case, log

    def verify(self) -> None:
        """Assert that each node starts after its needs and inside its phase, and none starts again when it is done."""
        agui.check(self.log)
        done: set[str] = set()
        begun: set[str] = set()
        left: set[str] = set()
        for event in self.log:
            name = event.get("stepName", "")
            if event["type"] == "STEP_STARTED":
                assert name not in done, f"{name} ran again"
                begun.add(name)
                left.add(name)
                if name.startswith("node:"):
                    self._started(name.removeprefix("node:"), begun, done)
            elif event["type"] == "STEP_FINISHED" and "metadata" not in event:
                done.add(name)
                assert not any(one.startswith((f"{name}[", f"{name}/")) for one in left), f"something in {name} stays open"
            if event["type"] == "STEP_FINISHED":
                left.discard(name)

    def _started(self, path: str, begun: set[str], done: set[str]) -> None:
        parts = path.split("/")
        prefix = "".join(f"{part}/" for part in parts[:-1])
        assert all(f"node:{outer}" in begun for outer in accumulate(parts[:-1], "{}/{}".format)), f"{path} has no outside"
        name, _, item = parts[-1].partition("[")
        assert not item or f"node:{prefix}{name}" in begun
        needs = {f"node:{prefix}{need}" for need in graph_at(self.case, path).needs(name)}
        assert needs <= done, f"{path} was early"
        if self.case.graph.slots and len(parts) == 1:
            assert begun & {"data", "compute", "compose"} - done, f"{path} is in no phase"

    def slots(self) -> Mapping[str, Json]:
        """What a reader of the whole log holds at the end."""
        state: Json = None
        for event in self.log:
            if event["type"] == "STATE_SNAPSHOT":
                state = event["snapshot"]
            elif event["type"] == "STATE_DELTA":
                state = jsonpatch.apply_patch(state, event["delta"])
        return dict(state["page"]["slots"])


async def own(journal: RunJournal, pipeline: RunPipeline) -> Outcome | RunFailed:
    """What the driver does, up to the run's end."""
    try:
        outcome = await pipeline.run(journal)
    except RunFailed as failed:
        await journal.fail(failed.failure)
        return failed
    await journal.succeed(outcome)
    return outcome


async def live(case: Case, store: RunStore, world: World, limits: Limits, crashes: list[tuple[int, bool]]) -> Any:
    """Own the run again and again until it has ended; one owner dies for each crash."""
    pages = FakePages()
    for crash in [*crashes, None]:
        world.owner += 1
        store.crash = crash
        body = {"blueprint": case.graph.document(), "inputs": INPUTS}
        journal = store.own(claimed(body, kind=RunKind.PAGE, attempt=world.owner))
        pipeline = RunPipeline(
            router=FakeRouter(),
            planner=FakePlanner({}),
            rag=world,
            models=world,
            sessions=FakeSessions(),
            cel=FakeCel(),
            workflows=world,
            pages=pages,
            limits=limits,
            now=lambda: NOW,
            jitter=lambda: 0.5,
        )
        task = asyncio.create_task(own(journal, pipeline))
        died = asyncio.create_task(store.died.wait())
        await asyncio.wait({task, died}, return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not store.died.is_set() or store.ending is not None:
            return await asyncio.gather(task, return_exceptions=True), pages
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or isinstance(task.exception(), LeaseLost)
    raise AssertionError("the last owner does not die")


@pytest.mark.timeout(7_200)  # 300 examples take seconds, the 10,000 of the profile `nightly` minutes
@settings(max_examples=max(300, settings().max_examples))
@given(
    case=cases(),
    seed=st.integers(0, 2**16),
    parallel=st.integers(1, 4),
    replica=st.integers(1, 4),
    crashes=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=2),
)
def test_a_run_equals_the_sequential_oracle_whatever_fails_and_whoever_dies(
    case: Case, seed: int, parallel: int, replica: int, crashes: list[tuple[int, bool]]
) -> None:
    async def scenario() -> None:
        slow = random.Random(seed + 1)
        store = RunStore(delay=lambda: slow.choice([0.0, 0.0, 0.1, 2.0]))
        limits = Limits(max_parallel_nodes=parallel, max_parallel_nodes_per_replica=replica, retry_budget=10_000)
        world = World(case, store, seed=seed, parallel=min(parallel, replica))
        (ended,), pages = await live(case, store, world, limits, crashes)
        oracle = Oracle(case)
        verifier = Verifier(case, store.events)
        verifier.verify()
        try:
            expected = oracle.run()
        except Failed as failed:
            verify_failed(store, failed)
            return
        if not isinstance(ended, LeaseLost):  # else its last owner died when the end was stored
            assert isinstance(ended, Outcome), ended
            assert ended.output["output"] == expected[case.graph.specs[-1].id], (ended.output, expected)
            assert {gap["step"] for gap in ended.output["gaps"]} == oracle.gaps
        verify_recorded(case.graph, store, expected, oracle.gaps)
        slots = {f"s_{name}": expected[name] for name in case.graph.slots}
        assert verifier.slots() == slots
        assert [draft.outputs for draft in pages.drafts] == ([expected] if slots else [])

    virtual_time.run(scenario())


def verify_failed(store: RunStore, failed: Failed) -> None:
    """A run that cannot succeed fails at one of the nodes that fail in any order."""
    assert store.ending is not None
    assert store.ending.failure is not None
    named = re.search(r"Node '([^']+)'", store.ending.failure.message)
    assert named is not None, store.ending.failure
    assert named[1] in failed.paths


def verify_recorded(graph: Graph, store: RunStore, expected: Mapping[str, Json], gaps: set[str]) -> None:
    """Each node is recorded with the oracle's output, and each gap beside it."""
    assert {spec.id: store.steps[f"node:{spec.id}"].output for spec in graph.specs} == expected
    assert ("flows" in store.steps) == any(spec.workflow or (spec.inner and spec.inner.workflow) for spec in graph.specs)
    beside = {name.removeprefix("gap:") for name in store.steps if name.startswith("gap:")}
    assert gaps <= beside
    assert all(store.steps[step].output is None for step in beside)
