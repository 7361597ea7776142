"""Workflows that run workflows: which ones a blueprint names, and whether it can be run with all that it leads to. Pure."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from headrace_blueprint.model import Blueprint, Flow, Map

MAX_FLOW_DEPTH = 4
"""How many workflows may be inside each other, below the blueprint that is run."""
MAX_FLOWS = 50
"""Most different workflows that one blueprint leads to."""

TOO_MANY = f"it leads to more than {MAX_FLOWS} workflows"
"""Why a blueprint is refused that leads to more than `MAX_FLOWS`; whoever looks them up counts them."""

Leads = Mapping[str, Sequence[str]]
"""The workflows that each workflow names, by its id."""


def workflow_ids(blueprint: Blueprint) -> tuple[str, ...]:
    """The workflows that a blueprint runs itself, in maps too, each once in the document's order."""
    inner = (node.node if isinstance(node, Map) else node for node in blueprint.nodes)
    return tuple(dict.fromkeys(node.workflow_id for node in inner if isinstance(node, Flow)))


def refusal(start: str, leads: Leads) -> str | None:
    """Why a workflow cannot be run: workflows that it leads to run themselves again, or are nested too deep.

    `start` is "" for a blueprint without an id, and `leads` has what that names, too. Ids that are not in `leads` are
    workflows that name none.
    """
    graph = _reached(start, leads)
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return f"a workflow would run itself: {_way(_turned(start, error.args[1]))}"
    longest: dict[str, tuple[str, ...]] = {}
    for name in order:  # those that a workflow names come before it
        longest[name] = (name, *max((longest[one] for one in graph.get(name, ())), key=len, default=()))
    if len(longest[start]) - 1 > MAX_FLOW_DEPTH:
        return f"more than {MAX_FLOW_DEPTH} workflows would be inside each other: {_way(longest[start])}"
    return None


def _reached(start: str, leads: Leads) -> Leads:
    found: dict[str, Sequence[str]] = {}
    pending = [start]
    while pending:
        name = pending.pop()
        if name in leads and name not in found:
            found[name] = leads[name]
            pending += leads[name]
    return found


def _turned(start: str, found: Sequence[str]) -> Sequence[str]:
    """A circle of names that was found backwards, in its right order; it begins and ends with `start` if that is in it."""
    circle = found[:0:-1]
    at = circle.index(start) if start in circle else 0
    return (*circle[at:], *circle[:at], circle[at])


def _way(names: Sequence[str]) -> str:
    return " → ".join(name for name in names if name)
