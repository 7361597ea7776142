"""Workflows inside workflows: a way back is found and named, and the search ends."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from headrace_blueprint import flows, tools, validation
from headrace_blueprint.flows import MAX_FLOW_DEPTH
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
    ("start", "leads", "ways"),
    [
        ("a", {"a": ["a"]}, {"a → a"}),
        ("a", {"a": ["b"], "b": ["a"]}, {"a → b → a"}),
        ("a", {"a": ["x", "b"], "b": ["c"], "c": ["a"]}, {"a → b → c → a"}),
        ("", {"": ["b"], "b": ["c"], "c": ["b"]}, {"b → c → b", "c → b → c"}),
    ],
)
def test_a_way_back_is_named(start: str, leads: Mapping[str, list[str]], ways: set[str]) -> None:
    assert flows.refusal(start, leads) in {f"a workflow would run itself: {way}" for way in ways}


@pytest.mark.parametrize(
    "leads",
    [
        {"a": []},
        {"a": ["unknown"]},
        {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []},
        {"a": ["b"], "b": [], "not": ["reached"], "reached": ["not"]},
    ],
)
def test_workflows_may_run_the_same_and_what_is_not_reached_does_not_matter(leads: Mapping[str, list[str]]) -> None:
    assert flows.refusal("a", leads) is None


def test_as_many_may_be_inside_each_other_as_the_limit_says() -> None:
    chain = {f"w{depth}": [f"w{depth + 1}"] for depth in range(MAX_FLOW_DEPTH)}
    assert flows.refusal("w0", chain) is None
    why = flows.refusal("", {"": ["w0"], **chain})
    assert why == f"more than {MAX_FLOW_DEPTH} workflows would be inside each other: w0 → w1 → w2 → w3 → w4"


def test_the_deepest_way_counts_when_several_lead_to_the_same() -> None:
    leads = {"a": ["d", "b"], "b": ["c"], "c": ["d"], "d": ["e"], "e": ["f"]}
    assert str(flows.refusal("a", leads)).endswith(": a → b → c → d → e → f")


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=3), min_size=1))
def test_a_refusal_is_right_and_names_a_way_that_there_is(leads: dict[str, list[str]]) -> None:
    start = min(leads)
    why = flows.refusal(start, leads) or ""
    way = why.rpartition(": ")[2].split(" → ")
    assert all(after in leads[before] for before, after in pairwise(way))
    if any(name in closure(leads, name) for name in {start, *closure(leads, start)}):
        assert "itself" in why
        assert way[0] == way[-1]
    elif deepest(leads, start) > MAX_FLOW_DEPTH:
        assert "inside each other" in why
        assert len(way) == deepest(leads, start) + 1
    else:
        assert not why


def deepest(leads: Mapping[str, list[str]], name: str) -> int:
    """How many are inside each other below one, where none comes back to itself."""
    return max((1 + deepest(leads, one) for one in leads.get(name, ())), default=0)


def closure(known: Mapping[str, list[str]], start: str) -> set[str]:
    """Whatever can be reached by one step or more."""
    found: set[str] = set()
    pending = list(known.get(start, ()))
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += known.get(name, ())
    return found
