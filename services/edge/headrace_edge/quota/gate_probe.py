"""The gate as one of the parts whose health the edge tells."""

from headrace_runtime import errors

from headrace_edge.quota.signals import Signals


class GateProbe:
    """`readiness.Probe`: whether all processes share one gate, or each keeps to its part because Redis is away."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    async def __call__(self) -> None:
        """Return when the gate is shared. Raises Unavailable otherwise; runs go on meanwhile."""
        seen = await self._signals.current()
        if seen is None:
            raise errors.Unavailable("no executor tells of its gate", reason="SIGNALS_AWAY")
        if not all(model.shared for model in seen.quota.models.values()):
            raise errors.Unavailable(
                "Redis is away: each process keeps to its share of the quota", reason="GATE_NOT_SHARED"
            )
