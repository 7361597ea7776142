"""Gates to compare ours with. Each is made as `PacedGate` is, and keeps its outside."""

import asyncio
from dataclasses import replace
from typing import Any

from headrace_llm.client import Priority
from headrace_llm.gate.paced import PacedGate
from headrace_llm.ports import Ask, Grant, SharedLimits
from headrace_llm.registry import ModelEntry, Registry

from tests.load.traffic import WORKERS

FOR_EVER_S = 3600.0


class Off(PacedGate):
    """Lets everybody through; who is refused waits as the provider says and tries again."""

    async def acquire(self, model: ModelEntry, ask: Ask) -> Grant:
        return Grant(model, ask.tokens, 0.0)

    def settle(self, grant: Grant, *, actual_tokens: int | None, seconds: float) -> None:
        return

    def give_back(self, grant: Grant) -> None:
        return

    async def throttled(self, grant: Grant, *, retry_after_s: float | None) -> None:
        await asyncio.sleep(2.0 if retry_after_s is None else retry_after_s)


class Split(PacedGate):
    """Each process has its fixed part of the quota, and knows nothing of the others."""

    def __init__(self, registry: Registry, shared: SharedLimits | None, **rest: Any) -> None:
        super().__init__(_parted(registry), None, **rest)


class Fifo(PacedGate):
    """First come, first served, whoever it is and however late it has become."""

    async def acquire(self, model: ModelEntry, ask: Ask) -> Grant:
        alike = replace(ask, max_wait_s=FOR_EVER_S, priority=Priority.STANDARD, tenant_id="", started_at=None, unblocks=0)
        return await super().acquire(model, alike)


def _parted(registry: Registry) -> Registry:
    entries = []
    for entry in registry.models.values():
        limits = entry.limits
        part = {"rpm": limits.rpm and limits.rpm / WORKERS, "tpm": limits.tpm and limits.tpm / WORKERS}
        entries.append(entry.model_copy(update={"limits": limits.model_copy(update=part)}))
    return Registry.of(entries)
