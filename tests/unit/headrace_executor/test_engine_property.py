"""Whatever the graph, the delays, the passing failures and the moment of a crash: the outputs are those of running the
nodes one after the other, nothing runs before its needs or twice, and readers see a legal sequence of events."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest
from headrace_blueprint import tools, validation
from headrace_blueprint.plan import Plan, compile_plan
from headrace_executor import events
from headrace_executor.engine.execution import execute
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.errors import LeaseLost, RunFailed
from headrace_llm.client import ChatRequest, Completion
from headrace_llm.errors import ProviderRejected, ProviderUnavailable
from headrace_runtime import errors
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import agui
from tests.support.executor_fakes import (
    NOW,
    FakeCel,
    FakeJournal,
    FakeModels,
    FakeRag,
    Log,
    Turns,
    answer,
    claimed,
    no_sleep,
)

Json = Any
INPUTS = {"yes": True, "no": False, "x": "start"}


@dataclass(frozen=True)
class Graph:
    """A blueprint and what running its nodes one after the other gives."""

    plan: Plan
    expected: Mapping[str, Json]


def shown(value: Json) -> str:
    return value if isinstance(value, str) else "null"


def oracle(kind: str, needs: list[str], outputs: Mapping[str, Json]) -> Json:
    """A node's output, computed without the engine."""
    if kind == "compute":
        return "c" + "".join(shown(outputs[need]) for need in needs)
    prompt = " ".join(["start", *(shown(outputs[need]) for need in needs)])
    if kind == "compose":
        return answer(prompt)
    return f"about {prompt}"


def node(kind: str, name: str, needs: list[str], when: str | None) -> list[Mapping[str, Json]]:
    """A node that joins its needs' outputs; a retrieve is followed by a compute that takes the text out."""
    text = " ".join(["${inputs.x}", *(f"${{nodes.{need}.output}}" for need in needs)])
    condition = {"when": when} if when else {}
    match kind:
        case "compute":
            parts = (f"(nodes.{need}.output == null ? 'null' : nodes.{need}.output)" for need in needs)
            return [{"id": name, "kind": kind, "expr": " + ".join(["'c'", *parts]), **condition}]
        case "compose":
            retry = {"attempts": 3, "backoff_s": 0}
            return [{"id": name, "kind": kind, "prompt": text, "retry": retry, **condition}]
        case _:
            found = {"id": f"{name}_found", "kind": "retrieve", "query": text}
            return [
                found,
                {"id": name, "kind": "compute", "expr": f"nodes.{name}_found.output.chunks[0].text", **condition},
            ]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = [f"n{index}" for index in range(draw(st.integers(1, 7)))]
    outputs: dict[str, Json] = {}
    document: list[Mapping[str, Json]] = []
    for index, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from(names[:index]), max_size=2, unique=True)) if index else []
        kind = draw(st.sampled_from(["compute", "compose", "retrieve"]))
        when = draw(st.sampled_from([None, None, "inputs.yes", "inputs.no"]))
        outputs[name] = None if when == "inputs.no" else oracle(kind, needs, outputs)
        document += node(kind, name, needs, when)
    blueprint = {
        "version": 1,
        "name": "random",
        "inputs": {"properties": {name: {} for name in INPUTS}},
        "nodes": draw(st.permutations(document)),
        "layout": [{"slot": "s", "title": "S", "node": names[0]}],
        "output": f"${{nodes.{names[-1]}.output}}",
    }
    parsed = validation.parse(blueprint, tools=tools.SCHEMAS)
    return Graph(compile_plan(parsed), outputs)


class Flaky(FakeModels):
    """Breaks off a share of its answers, those to one prompt at most twice."""

    def __init__(self, *, turns: Turns, share: float, seed: int) -> None:
        super().__init__(turns=turns)
        self._share = share
        self._random = random.Random(seed)
        self._broken: Counter[str] = Counter()

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        prompt = request.messages[0].content
        broken = self._broken[prompt] < 2 and self._random.random() < self._share
        stop = self._random.randint(0, 3) if broken else 10**6
        self._broken[prompt] += broken
        async with aclosing(super().stream(request)) as pieces:  # type: ignore[type-var]
            number = 0
            async for piece in pieces:
                if number == stop:
                    raise ProviderUnavailable("broke off")
                number += 1
                yield piece


def verify_order(log: Log, plan: Plan) -> None:
    """No node starts before its needs are recorded, none starts again when it is."""
    for position, event in enumerate(log.events):
        if event["type"] == "STEP_STARTED":
            name = event["stepName"].removeprefix("node:")
            assert all(log.done_at[f"node:{need}"] <= position for need in plan.needs[name]), f"{name} was early"
            assert log.done_at.get(f"node:{name}", len(log.events)) > position, f"{name} ran again"


async def own(graph: Graph, journal: FakeJournal, models: FakeModels, rag: FakeRag, parallel: int) -> Any:
    parts = Parts(rag, models, FakeCel(), lambda: NOW, Limits(max_parallel_nodes=parallel), no_sleep)
    return await execute(journal, graph.plan, inputs=INPUTS, parts=parts)


@settings(max_examples=120, deadline=None)
@given(
    graph=graphs(),
    seed=st.integers(0, 2**32),
    parallel=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.4]),
    crashes=st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=3),
)
def test_resumed_runs_equal_the_sequential_oracle(
    graph: Graph, seed: int, parallel: int, share: float, crashes: list[tuple[int, bool]]
) -> None:
    async def scenario() -> None:
        turns = Turns(seed)
        models = Flaky(turns=turns, share=share, seed=seed)
        rag = FakeRag(turns=turns, failures=[errors.Unavailable("down")] if share else [])
        log = Log()
        for attempt, (crash_at, commits) in enumerate([*crashes, (10**6, False)], 1):
            journal = FakeJournal(
                claimed({}, attempt=attempt), log=log, turns=turns, crash_at=crash_at, crash_commits=commits
            )
            try:
                executed = await own(graph, journal, models, rag, parallel)
                break
            except LeaseLost:
                assert attempt <= len(crashes)
        assert {name: executed.outputs[name] for name in graph.expected} == graph.expected
        journal.finish(events.run_finished("s1", "r1", result=executed.output, usage=[], outcome="success"))
        assert set(log.steps) == {f"node:{name}" for name in graph.plan.order}
        agui.check(log.events)
        verify_order(log, graph.plan)
        slots = slots_after(log.events)
        assert slots == {"s": graph.expected["n0"]}

    asyncio.run(scenario())


def slots_after(log: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a reader of the whole log holds at the end."""
    state: Any = None
    for event in log:
        if event["type"] == "STATE_SNAPSHOT":
            state = dict(event["snapshot"]["page"]["slots"])
        for patch in event.get("delta", ()) if event["type"] == "STATE_DELTA" else ():
            state[patch["path"].removeprefix("/page/slots/")] = patch["value"]
    return state


@settings(max_examples=60, deadline=None)
@given(graph=graphs(), seed=st.integers(0, 2**32), parallel=st.integers(1, 4))
def test_a_final_failure_names_a_node_and_leaves_a_legal_log(graph: Graph, seed: int, parallel: int) -> None:
    async def scenario() -> None:
        turns = Turns(seed)
        models = FakeModels(turns=turns, failures=[ProviderRejected("no")], pieces_before=1)
        log = Log()
        journal = FakeJournal(claimed({}), log=log, turns=turns)
        composes = {name for name in graph.plan.order if graph.plan.nodes[name].kind == "compose"}
        if not (composes & {name for name, value in graph.expected.items() if value is not None}):
            await own(graph, journal, models, FakeRag(turns=turns), parallel)
            return
        with pytest.raises(RunFailed) as caught:
            await own(graph, journal, models, FakeRag(turns=turns), parallel)
        assert any(f"Node {name!r}" in caught.value.failure.message for name in composes)
        journal.finish(events.run_error("provider", caught.value.failure.message))
        agui.check(log.events)
        for name in composes:
            if f"node:{name}" in log.steps:
                assert log.steps[f"node:{name}"].output == graph.expected[name]

    asyncio.run(scenario())
