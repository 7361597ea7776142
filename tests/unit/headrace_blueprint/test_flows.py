"""Workflows inside workflows: a way back is found and named, and the search ends."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from headrace_blueprint import flows, tools, validation
from headrace_blueprint.flows import MAX_FLOW_DEPTH, MAX_FLOWS, TooManyFlows
from headrace_blueprint.model import Blueprint
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.headrace_blueprint.documents import blueprint, compose


def saved(*names: str, mapped: str = "") -> Blueprint:
    """A workflow that runs others, one of them for each item of a list."""
    nodes = [{"id": f"f{index}", "kind": "flow", "workflow_id": name} for index, name in enumerate(names)]
    if mapped:
        inner = {"id": "one", "kind": "flow", "workflow_id": mapped}
        nodes.append({"id": "each", "kind": "map", "over": "${inputs.message}", "node": inner})  # type: ignore[dict-item]
    return validation.parse(blueprint(*nodes, compose("end")), tools=tools.SCHEMAS)


def test_the_workflows_of_a_blueprint_are_those_of_its_flow_nodes_and_maps() -> None:
    assert flows.workflow_ids(saved("b", "a", "b", mapped="c")) == ("b", "a", "c")
    assert flows.workflow_ids(saved()) == ()


@pytest.mark.parametrize(
    ("known", "path"),
    [
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["a"]}, ("a", "b", "a")),
        ({"a": ["x", "b"], "b": ["c"], "c": ["a"]}, ("a", "b", "c", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ("b", "c", "b")),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, None),
        ({"a": ["unknown"]}, None),
        ({"a": []}, None),
    ],
)
def test_a_way_back_is_named(known: Mapping[str, list[str]], path: tuple[str, ...] | None) -> None:
    workflows = {name: saved(*names) for name, names in known.items()}
    assert flows.cycle("a", workflows["a"], workflows.get) == path


def test_a_way_back_through_a_map_is_one() -> None:
    assert flows.cycle("a", saved(mapped="b"), {"b": saved("a")}.get) == ("a", "b", "a")


def test_the_blueprint_that_is_about_to_be_saved_counts_and_not_the_saved_one() -> None:
    assert flows.cycle("a", saved("b"), {"a": saved(), "b": saved("a")}.get) == ("a", "b", "a")


def test_a_blueprint_without_an_id_comes_back_to_nothing() -> None:
    assert flows.cycle("", saved("b"), {"b": saved("c"), "c": saved()}.get) is None


def test_as_many_may_be_inside_each_other_as_the_limit_says() -> None:
    chain = {f"w{depth}": saved(f"w{depth + 1}") for depth in range(MAX_FLOW_DEPTH)} | {f"w{MAX_FLOW_DEPTH}": saved()}
    assert flows.cycle("w0", chain["w0"], chain.get) is None
    with pytest.raises(TooManyFlows, match=f"more than {MAX_FLOW_DEPTH}"):
        flows.cycle("", saved("w0"), chain.get)


def test_the_deepest_way_counts_when_several_lead_to_the_same() -> None:
    chain = {"a": saved("d", "b"), "b": saved("c"), "c": saved("d"), "d": saved("e"), "e": saved("f"), "f": saved()}
    with pytest.raises(TooManyFlows, match="inside each other"):
        flows.cycle("a", chain["a"], chain.get)


def test_as_many_different_ones_as_the_limit_says() -> None:
    known = {f"w{number}": saved() for number in range(MAX_FLOWS + 1)}
    assert flows.cycle("a", saved(*list(known)[: MAX_FLOWS - 1]), known.get) is None
    with pytest.raises(TooManyFlows, match=f"more than {MAX_FLOWS} workflows"):
        flows.cycle("a", saved(*known), known.get)


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=3), min_size=1))
def test_it_is_found_exactly_when_there_is_one(known: dict[str, list[str]]) -> None:
    workflows = {name: saved(*names) for name, names in known.items()}
    start = min(known)
    try:
        path = flows.cycle(start, workflows[start], workflows.get)
    except TooManyFlows:
        path = None
    reached = closure(known, start)
    if any(name in closure(known, name) for name in [start, *reached] if name in known):
        assert path is not None
        assert path[0] == path[-1]
        assert all(after in known[before] for before, after in pairwise(path))
    else:
        assert path is None


def closure(known: Mapping[str, list[str]], start: str) -> set[str]:
    """Whatever can be reached by one step or more."""
    found: set[str] = set()
    pending = list(known.get(start, ()))
    while pending:
        name = pending.pop()
        if name in known and name not in found:
            found.add(name)
            pending += known[name]
    return found
