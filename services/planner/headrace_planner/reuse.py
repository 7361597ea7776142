"""Plans that models made, kept for the same request: in this process, then for all replicas. Templates are never kept."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from headrace_blueprint.tools import Tool
from headrace_llm.cache.lru import Lru

from headrace_planner import metrics, questions
from headrace_planner.model import Json, Origin, Plan, Request
from headrace_planner.ports import Plans
from headrace_planner.words import normalised

VERSION = 2
"""Of the key and of what is kept under it. To be raised when a draft becomes another blueprint than before."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Room:
    """How much is kept."""

    ttl_s: float = 86_400.0
    """How long a plan is kept."""
    plan_bytes: int = 64 * 1024
    """Largest plan that is kept."""
    entries: int = 256
    """Plans that this process keeps."""
    memory_bytes: int = 4 * 1024 * 1024
    """Memory that they may take."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A plan as it was made."""

    blueprint: Json
    warnings: tuple[str, ...]


def key(request: Request, tools: Sequence[Tool], *, planner: str, prompts: str) -> str:
    """A digest of all that a model's plan depends on. `planner` is the model that writes it, `prompts` all that it is told.

    Of entities their kinds and how the message writes them: which record it is, a plan reads when it runs. Of the history
    what a model is told of it. The order of tools and of sources means nothing.
    """
    parts = [
        VERSION,
        planner,
        prompts,
        request.tenant_id,
        request.intent,
        normalised(request.message),
        request.workspace,
        request.model,
        sorted(request.sources),
        sorted(([tool.name, tool.description, dict(tool.input_schema)] for tool in tools), key=lambda one: str(one[0])),
        [[entity.kind, entity.id_type, normalised(entity.text)] for entity in request.entities],
        [[role, normalised(text)] for role, text in questions.told(request.history)],
    ]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Reuse:
    """Finds and keeps plans. `clock` gives seconds that only grow."""

    def __init__(self, shared: Plans, room: Room, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._room = room
        self._memory: Lru[bytes] = Lru(max_entries=room.entries, max_bytes=room.memory_bytes, clock=clock)

    async def find(self, key: str) -> Kept | None:
        """The plan that was kept under a key, None when there is none."""
        data, where = self._memory.get(key), "hit_memory"
        if data is None:
            data, where = await self._shared.get(key), "hit_redis"
        kept = None if data is None else _decoded(data)
        metrics.REUSE.labels("miss" if kept is None else where).inc()
        if kept is not None and data is not None:
            self._memory.put(key, data, size=len(data), ttl_s=self._room.ttl_s)
        return kept

    async def keep(self, key: str, plan: Plan) -> None:
        """Keep a plan that a model made; any other, or one that is too large, is passed over."""
        if plan.origin not in (Origin.MODEL, Origin.REPAIRED):
            return
        data = orjson.dumps({"blueprint": plan.blueprint, "warnings": plan.warnings})
        if len(data) > self._room.plan_bytes:
            metrics.NOT_KEPT.labels("too_large").inc()
            return
        self._memory.put(key, data, size=len(data), ttl_s=self._room.ttl_s)
        await self._shared.put(key, data)


def _decoded(data: bytes) -> Kept | None:
    """What `keep` wrote; None for anything else, which is then overwritten."""
    try:
        value: Any = orjson.loads(data)
        return Kept(value["blueprint"], tuple(value["warnings"]))
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        metrics.NOT_KEPT.labels("unreadable").inc()
        log.warning("plan_unreadable", cause=type(error).__name__)
        return None
