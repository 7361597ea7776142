"""Refuses a client's blueprint before it becomes a run, with every fault and its place. Pure."""

from collections.abc import Mapping
from typing import Any

from headrace_blueprint import tools, validation

from headrace_edge.policy import Fault, Problem
from headrace_edge.problems import Refused

RUNNABLE = frozenset({"data", "retrieve", "compute", "compose"})
"""Kinds of node that executors run; others of the language are refused here rather than fail later."""


def require_valid(document: Mapping[str, Any]) -> None:
    """Raise Refused (422) unless the document is a blueprint that can be run."""
    faults = validation.validate(document, tools=tools.SCHEMAS, kinds=RUNNABLE)
    if not faults:
        return
    told = tuple(Fault(("body", f"/blueprint{one.pointer}"), _told(one.message, one.hint)) for one in faults)
    raise Refused(Problem(422, "INVALID_BLUEPRINT", f"the blueprint cannot be run: {len(faults)} faults", told))


def _told(message: str, hint: str) -> str:
    return f"{message}: {hint}" if hint else message
