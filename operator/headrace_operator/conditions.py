"""Conditions by Kubernetes' conventions: Ready sums up, and tools that wait look at nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headrace_operator.ports import Json

READY = "Ready"
SCALING_ACTIVE = "ScalingActive"
SIGNALS_FRESH = "SignalsFresh"
MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect of the present state."""

    type: str
    true: bool
    reason: str
    """CamelCase, for programs."""
    message: str


def merge(previous: Iterable[Json], present: Sequence[Condition], *, generation: int, now: str) -> list[dict[str, Any]]:
    """The conditions to write. `lastTransitionTime` is `now`, RFC 3339, only where the status is another than before."""
    before = {one["type"]: one for one in previous}
    merged: list[dict[str, Any]] = []
    for one in present:
        status = "True" if one.true else "False"
        old = before.get(one.type, {})
        merged.append(
            {
                "type": one.type,
                "status": status,
                "reason": one.reason,
                "message": one.message[:MAX_MESSAGE],
                "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == status else now,
                "observedGeneration": generation,
            }
        )
    return merged


def transition(previous: Iterable[Json], present: Sequence[Condition]) -> Condition | None:
    """Ready, when its status or reason is another than before, the first time only if it is false."""
    ready = next(one for one in present if one.type == READY)
    old = next((one for one in previous if one["type"] == READY), None)
    if old is None:
        return None if ready.true else ready
    return None if (old["status"], old["reason"]) == ("True" if ready.true else "False", ready.reason) else ready
