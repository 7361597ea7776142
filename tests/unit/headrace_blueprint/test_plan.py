"""A plan's order respects every need, however it is written."""

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


def test_the_branches_that_guard_a_node_come_in_the_order_in_which_they_run() -> None:
    made = plan(
        blueprint(
            {"id": "late", "kind": "branch", "cases": [{"when": "nodes.early.output == null", "then": ["c", "a"]}]},
            {"id": "early", "kind": "branch", "cases": [{"when": "true", "then": ["a"]}], "else": ["b", "a"]},
            compose("a"),
            compose("b"),
            compose("c"),
        )
    )
    assert dict(made.guards) == {"early": (), "late": (), "a": ("early", "late"), "b": ("early",), "c": ("late",)}


def test_a_node_belongs_to_the_phase_of_its_kind_and_a_map_to_that_of_its_inner_node() -> None:
    made = plan(EVERY_KIND)
    assert dict(made.phase) == {
        "found": "data",
        "sum": "data",
        "size": "compute",
        "way": "compute",
        "each": "compose",
        "saved": "data",
        "answer": "compose",
    }


@given(graphs())
def test_everything_that_a_plan_says_it_says_of_every_node(document: dict[str, Any]) -> None:
    made = plan(document)
    assert set(made.guards) == set(made.phase) == set(made.nodes) == set(made.unblocks) == set(made.order)
    for name in made.order:
        after = {name}
        for one in made.order:
            if made.needs[one] & after:
                after.add(one)
        assert made.unblocks[name] == len(after) - 1


def test_what_looks_like_a_reference_in_a_schema_is_none() -> None:
    made = plan(blueprint(compose("a", schema={"description": "${nodes.b.output} ${"}), compose("b")))
    assert made.needs["a"] == frozenset()


def test_a_when_is_a_need() -> None:
    made = plan(blueprint(compose("b", when="nodes.a.output != ''"), compose("a")))
    assert made.order == ("a", "b")


def test_a_cycle_is_named_from_its_smallest_member_in_the_direction_of_waiting() -> None:
    with pytest.raises(Cycle) as caught:
        sort({"c": {"b"}, "a": {"c"}, "b": {"a"}, "d": {"a"}, "e": set()})
    assert caught.value.path == ("a", "b", "c", "a")


def test_cycles_that_share_no_node_are_all_named() -> None:
    needs: dict[str, set[str]] = {"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"e"}, "e": {"c"}, "f": {"a", "c"}, "g": set()}
    with pytest.raises(Cycle) as caught:
        sort(needs)
    assert caught.value.paths == (("a", "b", "a"), ("c", "e", "d", "c"))


@given(graphs())
def test_every_node_comes_once_and_after_its_needs(document: dict[str, Any]) -> None:
    made = plan(document)
    assert sorted(made.order) == sorted(node["id"] for node in document["nodes"])
    place = {name: index for index, name in enumerate(made.order)}
    for name, needs in made.needs.items():
        assert all(place[need] < place[name] for need in needs)
        assert all(name in made.dependents[need] for need in needs)


def test_a_node_unblocks_all_that_wait_for_it_however_far() -> None:
    made = plan(
        blueprint(compose("a"), compose("b", needs=["a"]), compose("c", needs=["a"]), compose("d", needs=["b", "c"]))
    )
    assert made.unblocks == {"a": 3, "b": 1, "c": 1, "d": 0}
