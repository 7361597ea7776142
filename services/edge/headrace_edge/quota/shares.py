"""Who was served how much of late. Pure: times are arguments, in seconds."""

from dataclasses import dataclass, field

HALF_LIFE_S = 60.0
"""After this time what somebody was served counts half."""
FORGOTTEN = 0.01
"""Calls below which a tenant counts as one that does not ask."""
MAX_HALF_LIVES = 1000
"""After so many nothing is left, and floating point ends."""
MAX_TENANTS = 10_000
"""Tenants that are told apart; the others have no share of their own."""


@dataclass(slots=True)
class Shares:
    """Calls that tenants were served, older ones counting less."""

    _served: dict[str, float] = field(default_factory=dict)
    """Weighted by how late it was, so that nothing has to be aged."""
    _total: float = 0.0
    _since: float = 0.0

    def __len__(self) -> int:
        return len(self._served)

    def ask(self, tenant: str, *, now: float) -> None:
        """Somebody asks, whether served or not: there is one more to share with."""
        self._sweep(now)
        if tenant not in self._served:
            self.serve(tenant, FORGOTTEN, now=now)

    def serve(self, tenant: str, calls: float, *, now: float) -> None:
        """Count what a tenant was served."""
        self._sweep(now)
        if tenant not in self._served and len(self._served) >= MAX_TENANTS:
            return
        weighted = calls * self._weight(now)
        self._served[tenant] = self._served.get(tenant, 0.0) + weighted
        self._total += weighted

    def has_its_share(self, tenant: str) -> bool:
        """Whether a tenant was served more than an equal part; never if it is alone."""
        return self._served.get(tenant, 0.0) * len(self._served) > self._total * (1 + 1e-6)

    def _weight(self, now: float) -> float:
        return float(2.0 ** min((now - self._since) / HALF_LIFE_S, MAX_HALF_LIVES))

    def _sweep(self, now: float) -> None:
        """From time to time forget who does not ask any more, and begin to weigh anew."""
        if now - self._since <= HALF_LIFE_S:
            return
        weight = self._weight(now)
        aged = {tenant: value / weight for tenant, value in self._served.items()}
        self._served = {tenant: value for tenant, value in aged.items() if value >= FORGOTTEN}
        self._total = sum(self._served.values())
        self._since = now
