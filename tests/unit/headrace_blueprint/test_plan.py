"""A plan's order respects every need, however it is written."""

import time
from typing import Any

import pytest
from headrace_blueprint import tools, validation
from headrace_blueprint.plan import Cycle, compile_plan, sort
from hypothesis import given

from tests.unit.headrace_blueprint.documents import EVERY_KIND, blueprint, compose, graphs


def plan(document: dict[str, Any]) -> Any:
    return compile_plan(validation.parse(document, tools=tools.SCHEMAS))


def test_needs_come_from_references_expressions_guards_and_declarations() -> None:
    made = plan(EVERY_KIND)
    assert dict(made.needs) == {
        "found": frozenset(),
        "sum": frozenset(),
        "size": {"found"},
        "way": {"size"},
        "each": {"found", "way"},
        "saved": {"size", "way"},
        "answer": {"each", "sum", "saved"},
    }
    assert made.order[:2] == ("found", "sum")
    assert made.order[-1] == "answer"
    assert made.dependents["way"] == ("each", "saved")
    assert made.nodes["size"].expr.startswith("size(")


def test_a_when_is_a_need() -> None:
    made = plan(blueprint(compose("b", when="nodes.a.output != ''"), compose("a")))
    assert made.order == ("a", "b")


def test_a_cycle_is_named_from_its_smallest_member_in_the_direction_of_waiting() -> None:
    with pytest.raises(Cycle) as caught:
        sort({"c": {"b"}, "a": {"c"}, "b": {"a"}, "d": {"a"}, "e": set()})
    assert caught.value.path == ("a", "b", "c", "a")


@given(graphs())
def test_every_node_comes_once_and_after_its_needs(document: dict[str, Any]) -> None:
    made = plan(document)
    assert sorted(made.order) == sorted(node["id"] for node in document["nodes"])
    place = {name: index for index, name in enumerate(made.order)}
    for name, needs in made.needs.items():
        assert all(place[need] < place[name] for need in needs)
        assert all(name in made.dependents[need] for need in needs)


def test_two_hundred_nodes_are_planned_in_milliseconds() -> None:
    nodes = [compose("n0")]
    nodes += [compose(f"n{i}", f"${{nodes.n{i - 1}.output}}", when=f"nodes.n{i // 2}.output != ''") for i in range(1, 200)]
    parsed = validation.parse(blueprint(*nodes), tools={})
    best = min(_timed(parsed) for _ in range(5))
    assert best < 0.03, f"{best * 1000:.1f} ms"


def _timed(parsed: Any) -> float:
    started = time.process_time()
    compile_plan(parsed)
    return time.process_time() - started


def test_a_node_unblocks_all_that_wait_for_it_however_far() -> None:
    made = plan(
        blueprint(compose("a"), compose("b", needs=["a"]), compose("c", needs=["a"]), compose("d", needs=["b", "c"]))
    )
    assert made.unblocks == {"a": 3, "b": 1, "c": 1, "d": 0}
