"""What is too large to be shown whole is shown by its size, its beginning and the step that has it."""

from typing import Any

import orjson
from headrace_executor.engine import large, requests
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.page import snapshot
from headrace_executor.model import RunKind
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.headrace_executor.engine.test_pages import World as PageWorld
from tests.unit.headrace_executor.engine.world import World, blueprint

Json = Any


def test_a_value_that_fits_is_shown_whole() -> None:
    assert large.capped({"a": 1}, 100, "node:a") == {"a": 1}


def test_a_larger_one_is_shown_by_its_beginning_and_its_step() -> None:
    shown = large.capped("x" * 5000, 100, "node:m[3]")
    assert shown == {"truncated": True, "bytes": 5002, "preview": "x" * 2000, "step": "node:m[3]"}


@given(value=st.dictionaries(st.text(), st.text() | st.integers(0, 9)), most=st.integers(0, 60))
def test_as_a_text_it_is_shown_alike(value: Json, most: int) -> None:
    assert orjson.loads(large.text(value, most, "node:a")) == large.capped(value, most, "node:a")


@given(
    sizes=st.lists(st.integers(0, 30_000), min_size=1, max_size=12),
    character=st.sampled_from(["x", "ü", "\0", "😀"]),
    most=st.integers(4_000, 60_000),
)
def test_a_document_fits_and_only_its_largest_values_are_replaced(sizes: list[int], character: str, most: int) -> None:
    document = {"values": [character * size for size in sizes]}
    steps: dict[tuple[str | int, ...], str] = {("values", index): f"node:n{index}" for index in range(len(sizes))}
    shown = large.fitted(document, steps, max_bytes=most)
    assert len(orjson.dumps(shown)) <= most
    replaced = [index for index, value in enumerate(shown["values"]) if not isinstance(value, str)]
    for index, value in enumerate(shown["values"]):
        assert index in replaced or value == document["values"][index]
        assert index not in replaced or value["step"] == f"node:n{index}"
        assert all(index in replaced or sizes[index] <= sizes[other] for other in replaced)
    assert bool(replaced) == (len(orjson.dumps(document)) > most)


async def test_an_events_value_names_the_step_of_its_item() -> None:
    node = {"id": "a", "kind": "map", "over": "${inputs.xs}", "node": {"id": "one", "kind": "compute", "expr": "item"}}
    world = World(limits=Limits(max_event_bytes=1000))
    await world.run(blueprint(node, slots=["a"]), inputs={"xs": ["x" * 3000, "y"]})
    assert [patch["value"] for patch in world.deltas()][1]["step"] == "node:a[0]"
    assert world.log.steps["node:a[0]"].output == "x" * 3000


async def test_a_snapshot_of_many_large_slots_stays_within_its_limit() -> None:
    names = [f"n{number}" for number in range(40)]
    document = blueprint(*({"id": name, "kind": "compute", "expr": "1"} for name in names), output="n0", slots=names)
    event = snapshot(requests.compiled(document).blueprint, dict.fromkeys(names, "x" * 900), max_bytes=1000)
    values = event["snapshot"]["page"]["slots"]
    assert len(orjson.dumps(values)) <= 16_000
    assert values["n0"]["step"] == "node:n0"


async def test_a_runs_output_never_passes_its_limit_and_what_is_kept_is_whole() -> None:
    names = [f"n{number}" for number in range(8)]
    nodes = [{"id": name, "kind": "compute", "expr": "inputs.x"} for name in names]
    world = PageWorld(blueprint(*nodes, output="n7", slots=names))
    text = "x" * 300_000
    outcome, journal = await world.run(RunKind.PAGE, {"blueprint": world.document, "inputs": {"x": text}})
    assert len(orjson.dumps(outcome.output)) <= world.limits.max_result_bytes
    shown = {slot["slot"]: slot["value"] for slot in outcome.output["page"]["slots"]}
    assert {value["step"] for value in shown.values() if value != text} <= {f"node:{name}" for name in names}
    assert list(shown.values()).count(text) == 2 or outcome.output["output"] == text
    assert world.pages.drafts[0].outputs["n0"] == text
    assert journal.log.steps["node:n3"].output == text


async def test_the_passages_of_an_answer_are_bounded() -> None:
    world = PageWorld(blueprint({"id": "a", "kind": "retrieve", "query": "x"}, slots=["a"]))
    world.limits = Limits(max_citations_bytes=100)
    outcome, _ = await world.page()
    assert len(outcome.output["citations"]) == 1


async def test_a_plan_that_makes_an_answer_too_large_is_left_to_its_step() -> None:
    world = PageWorld(blueprint({"id": "a", "kind": "compute", "expr": f"'{'x' * 3000}'"}))
    world.limits = Limits(max_result_bytes=3000)
    outcome, _ = await world.run(RunKind.WORKFLOW, {"prompt": "x"})
    assert outcome.output["blueprint"]["step"] == "plan"


class TestCompiling:
    TOOL: Json = {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False}  # noqa: RUF012

    def test_a_blueprint_is_compiled_once(self) -> None:
        document = blueprint({"id": "a", "kind": "compute", "expr": "1 + 41"})
        assert requests.compiled(document) is requests.compiled({**document})

    def test_other_tools_make_another_plan(self) -> None:
        document = blueprint({"id": "a", "kind": "data", "tool": "school.grades", "args": {"x": 1}})
        (fault,) = requests.faults(document, None)
        assert fault.pointer == "/blueprint/nodes/0/tool"
        assert requests.faults(document, None, tools={"school.grades": self.TOOL}) == ()
        wrong = {"school.grades": {**self.TOOL, "properties": {}}}
        assert requests.faults(document, None, tools=wrong)[0].pointer == "/blueprint/nodes/0/args/x"
        assert requests.faults(document, None)[0] == fault

    def test_what_is_kept_is_bounded_in_number_and_bytes(self) -> None:
        for number in range(200):
            requests.compiled(blueprint({"id": "a", "kind": "compute", "expr": f"'{'x' * 3900}{number}'"}))
        kept = requests._plans._known.values()
        assert len(kept) <= requests.CACHED
        for number in range(10):
            nodes = [{"id": f"n{at}", "kind": "compose", "prompt": "x" * 30_000} for at in range(10)]
            requests.compiled({**blueprint(*nodes, output="n0"), "name": f"large {number}"})
        assert sum(size for _, size in kept) == requests._plans._bytes <= requests.CACHED_BYTES
