"""How many sessions tenants have, about: what was counted a while ago, and what this process has opened since. Pure.

To count a tenant's sessions costs as much as they are many, so runs are accepted by a count that may be `KEPT_S` old. That
of a tenant that has as many as it may is asked again soon, as it may have deleted some.
"""

from collections import OrderedDict
from dataclasses import dataclass

KEPT_S, FULL_KEPT_S = 60.0, 1.0
"""How long a count is believed: of a tenant with room, and of one without."""
MAX_TENANTS = 10_000
"""Tenants that are remembered; beyond them the one that was counted longest ago is forgotten."""


@dataclass(slots=True)
class _Count:
    sessions: int
    at_s: float


class SessionCounts:
    """One per process. Times are seconds of any clock that never goes back."""

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        """Sessions that a tenant may have."""
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def due(self, tenant_id: str, *, now_s: float) -> bool:
        """Whether the tenant's sessions should be counted before it is given another one."""
        known = self._counts.get(tenant_id)
        if known is None:
            return True
        return now_s - known.at_s >= (FULL_KEPT_S if known.sessions >= self.limit else KEPT_S)

    def counted(self, tenant_id: str, sessions: int, *, now_s: float) -> None:
        """Take note of a count."""
        self._counts[tenant_id] = _Count(sessions, now_s)
        self._counts.move_to_end(tenant_id)
        if len(self._counts) > MAX_TENANTS:
            self._counts.popitem(last=False)

    def opened(self, tenant_id: str) -> None:
        """Take note of a session that this process has opened."""
        if known := self._counts.get(tenant_id):
            known.sessions += 1

    def room(self, tenant_id: str) -> int:
        """How many more the tenant may have, as far as is known; below 0 when it has too many."""
        known = self._counts.get(tenant_id)
        return self.limit - (known.sessions if known else 0)
