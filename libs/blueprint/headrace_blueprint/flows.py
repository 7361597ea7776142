"""Workflows that run workflows: which ones a blueprint names, and whether one would come back to itself. Pure."""

from collections.abc import Callable

from headrace_blueprint.model import Blueprint, Flow, Map

MAX_FLOW_DEPTH = 4
"""How many workflows may be inside each other, below the blueprint that is run."""
MAX_FLOWS = 50
"""Most different workflows that one blueprint reaches."""

Lookup = Callable[[str], Blueprint | None]
"""The saved blueprint of a workflow's id, None when there is none."""


class TooManyFlows(ValueError):
    """The workflows below a blueprint nest too deep or are too many; the text says which."""


def workflow_ids(blueprint: Blueprint) -> tuple[str, ...]:
    """The workflows that a blueprint runs itself, in maps too, each once in the document's order."""
    inner = (node.node if isinstance(node, Map) else node for node in blueprint.nodes)
    return tuple(dict.fromkeys(node.workflow_id for node in inner if isinstance(node, Flow)))


def cycle(start_id: str, blueprint: Blueprint, lookup: Lookup) -> tuple[str, ...] | None:
    """The ids on the way on which a workflow comes back to itself, it first and last; None when none does.

    `start_id` is the id under which `blueprint` is or will be saved, "" for none; `lookup` is not asked for it. Ids that it
    does not know are passed over. Raises TooManyFlows.
    """
    depths: dict[str, int] = {}  # of finished workflows: how many are inside each other from there on
    path = [start_id]
    pending = [iter(workflow_ids(blueprint))]
    deepest = [0]
    while path:
        name = next(pending[-1], None)
        if name is None:
            depths[path.pop()] = done = deepest.pop() + 1
            pending.pop()
            if deepest:
                deepest[-1] = max(deepest[-1], done)
        elif name in path:
            return (*path[path.index(name) :], name)
        elif name in depths:
            deepest[-1] = max(deepest[-1], depths[name])
        elif (found := lookup(name)) is not None:
            if len(depths) + len(path) > MAX_FLOWS:
                raise TooManyFlows(f"the blueprint reaches more than {MAX_FLOWS} workflows")
            path.append(name)
            pending.append(iter(workflow_ids(found)))
            deepest.append(0)
    if depths[start_id] - 1 > MAX_FLOW_DEPTH:
        raise TooManyFlows(f"more than {MAX_FLOW_DEPTH} workflows are inside each other")
    return None
