"""Looks up the names of a request in the tenant's connectors: the records are read by a tool and kept for a while."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import orjson
import structlog
from headrace_tools.errors import ToolFailed
from headrace_tools.model import EntitySource
from headrace_tools.ports import Toolbox

from headrace_executor.engine import clarifications, entities
from headrace_executor.engine.clarifications import Answers, Interrupt
from headrace_executor.engine.entities import Mention, Names, Unreadable
from headrace_executor.engine.metrics import ENTITIES, ENTITY_CACHE, ENTITY_FETCHES
from headrace_executor.engine.steps import Done
from headrace_executor.model import ClaimedRun, Json
from headrace_executor.ports import Entity

MAX_KEPT = 50_000
"""Records of all sources and tenants that a process keeps; those that were not used for longest go first."""
RETRY_S = 10.0
"""How long a source that failed is left alone: not every request has to wait for it again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the names in a request stand for."""

    entities: tuple[Entity, ...] = ()
    interrupts: Sequence[Interrupt] = ()
    """What must be asked back before anything can be planned."""
    warnings: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """As the output of the step."""
        found = [asdict(one) for one in self.entities]
        return {"entities": found, "interrupts": list(self.interrupts), "warnings": list(self.warnings)}

    @staticmethod
    def from_json(value: Json) -> "Resolved":
        """Decode `to_json`."""
        found = tuple(Entity(**one) for one in value["entities"])
        return Resolved(found, value["interrupts"], tuple(value["warnings"]))


@dataclass(slots=True)
class _Kept:
    """One source's records, or why there are none."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    names: Names | None = None
    count: int = 0
    until: float = 0.0
    """When it is read again, on the resolver's clock."""
    failure: str = ""
    note: str = ""
    """What its reader should know all the same."""


class Resolver:
    """One for a process. Each source is read by one run at a time; the others wait for what that gets."""

    def __init__(self, toolbox: Toolbox, *, deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._toolbox = toolbox
        self._deadline_s = deadline_s
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def needed(self, run: ClaimedRun, answers: Answers) -> bool:
        """Whether there is anything to look names up in."""
        return bool(answers.chosen or self._toolbox.entities(run.tenant_id))

    async def resolve(self, run: ClaimedRun, text: str, *, intent: str, answers: Answers) -> Done:
        """The step: what the text names, and what is to be asked back. It never fails: what is away is a warning."""
        sources = self._toolbox.entities(run.tenant_id)
        found = await asyncio.gather(*(self._names(run.tenant_id, source) for source in sources))
        names = [one.names for one in found if one.names is not None]
        warnings = [
            f"names of the kind {source.kind}: {one.failure or one.note}"
            for source, one in zip(sources, found, strict=True)
            if one.failure or one.note
        ]
        # Thousands of names in a long text take a tenth of a second, which the event loop must not wait for.
        mentions = await asyncio.to_thread(entities.mentions, text, names) if names else ()
        resolved = _resolved(run, mentions, intent=intent, answers=answers, warnings=warnings)
        return Done(resolved.to_json(), events=tuple(clarifications.told(one) for one in resolved.interrupts))

    async def _names(self, tenant_id: str, source: EntitySource) -> _Kept:
        """What is known of a source, after reading it if that is due."""
        ends = asyncio.get_running_loop().time() + self._deadline_s
        kept = self._entry(tenant_id, source)
        try:
            async with asyncio.timeout_at(ends):
                await kept.lock.acquire()
        except TimeoutError:
            return _Kept(failure=f"others waited for the tool {source.tool} for {self._deadline_s:g} s")
        try:
            if self._clock() >= kept.until:
                ENTITY_CACHE.labels("miss").inc()
                await self._read(tenant_id, source, kept, ends)
            else:
                ENTITY_CACHE.labels("away" if kept.failure else "hit").inc()
            return replace(kept)
        finally:
            kept.lock.release()

    def _entry(self, tenant_id: str, source: EntitySource) -> _Kept:
        key = orjson.dumps([tenant_id, asdict(source)], default=_plain, option=orjson.OPT_SORT_KEYS)
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        return kept

    async def _read(self, tenant_id: str, source: EntitySource, kept: _Kept, ends: float) -> None:
        outcome = "ok"
        try:
            async with asyncio.timeout_at(ends):
                answer = await self._toolbox.call(tenant_id, source.tool, source.args, deadline_s=self._deadline_s)
            found, left_out = entities.records(
                answer,
                kind=source.kind,
                items=source.items,
                id_field=source.id_field,
                name_fields=source.name_fields,
            )
            kept.names, kept.count, kept.failure = await asyncio.to_thread(Names, found), len(found), ""
            kept.note = f"only the first {entities.MAX_RECORDS} records were looked at" if left_out else ""
            kept.until = self._clock() + source.cache_s
            self._evict()
        except (ToolFailed, Unreadable, TimeoutError) as error:
            outcome = _why(error)
            said = f"it had not answered after {self._deadline_s:g} s" if isinstance(error, TimeoutError) else str(error)
            kept.names, kept.count, kept.note = None, 0, ""
            said = said.removeprefix(f"{source.tool}: ")
            kept.failure, kept.until = f"the tool {source.tool}: {said}", self._clock() + RETRY_S
            log.warning("entities_unknown", tool=source.tool, kind=source.kind, reason=outcome)
        ENTITY_FETCHES.labels(outcome).inc()

    def _evict(self) -> None:
        """Forget what was not used for longest until the rest is within its limit."""
        count = sum(one.count for one in self._kept.values())
        while count > MAX_KEPT and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            count -= gone.count


def _resolved(
    run: ClaimedRun, mentions: Sequence[Mention], *, intent: str, answers: Answers, warnings: Sequence[str]
) -> Resolved:
    """What was answered counts before what was found; what is left open of that is asked back."""
    open_ = [one for one in mentions if not answers.settles(one)]
    clear = [one for one in open_ if not one.ambiguous]
    for one in open_:
        ENTITIES.labels("ambiguous" if one.ambiguous else "exact" if one.exact else "fuzzy").inc()
    guessed = [
        f"“{one.text}” was taken for {one.records[0].names[0]} ({one.records[0].kind})" for one in clear if not one.exact
    ]
    named = [Entity(one.records[0].kind, one.records[0].id, one.records[0].names[0], one.text) for one in clear]
    return Resolved(
        (*answers.chosen, *named),
        clarifications.interrupts(run.run_id, intent, open_),
        (*warnings, *guessed),
    )


def _why(error: Exception) -> str:
    match error:
        case ToolFailed():
            return error.reason
        case TimeoutError():
            return "deadline"
        case _:
            return "unreadable"


def _plain(value: object) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
