"""A page that is changed by one sentence: what runs again, what stays as it is, what is written anew.

The planner says which nodes run again. All others are recorded with the plan as finished, so they never run, and whoever
takes the run over changes the same version of the page.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from headrace_blueprint import references
from headrace_blueprint.plan import Plan

from headrace_executor import events
from headrace_executor.engine import retrying
from headrace_executor.engine.execution import Start
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.rewriting import Rewrite
from headrace_executor.engine.steps import GAP, Done
from headrace_executor.errors import RunFailed
from headrace_executor.model import ClaimedRun, FailureCode, Json
from headrace_executor.ports import Gap, PageRef, Patched, SlotView, StoredPage

PREVIEW_CHARACTERS = 400
"""How much of a slot's value the planner is shown."""


@dataclass(frozen=True, slots=True)
class Base:
    """The page that is changed."""

    blueprint: Json
    inputs: Json
    outputs: Mapping[str, Json]
    """By node, as far as they are known."""
    gaps: Sequence[Gap] = ()
    sources: Sequence[Json] = ()
    ref: PageRef | None = None
    """None for a page that the request brought along."""


@dataclass(frozen=True, slots=True)
class Division:
    """Which nodes of the changed blueprint run, stay, and are of no use."""

    again: frozenset[str]
    kept: Mapping[str, Json]
    left_out: frozenset[str] = field(default_factory=frozenset)


def of_stored(page: StoredPage) -> Base:
    """A kept page."""
    draft = page.draft
    return Base(draft.blueprint, draft.inputs, draft.outputs, draft.gaps, draft.sources, page.ref)


def of_body(page: Json) -> Base:
    """A page as GET /api/pages/ID shows it: only what its slots show is known. Raises `RunFailed`."""
    slots = page.get("slots") if isinstance(page, Mapping) else None
    if not isinstance(slots, list) or not all(isinstance(one, Mapping) and "node" in one for one in slots):
        raise _refused("The request's page has no slots with their nodes; send a page as /api/pages shows it.")
    gaps = [(one["node"], one["gap"]) for one in slots if isinstance(one.get("gap"), Mapping)]
    known = [one for one in page.get("sources") or () if isinstance(one, Mapping) and {"document_id", "text"} <= one.keys()]
    return Base(
        page.get("blueprint"),
        page.get("inputs") or {},
        {str(one["node"]): one.get("value") for one in slots},
        tuple(Gap(f"node:{node}", str(gap.get("code")), str(gap.get("message"))) for node, gap in gaps),
        known,
    )


async def load(run: ClaimedRun, page_id: str, version: int, *, parts: Parts) -> Base:
    """A version of a page, the current one for 0. Raises `RunFailed` when there is none."""
    pages = parts.pages
    found = None if pages is None else await _read(lambda: pages.load(run, page_id, version), parts)
    if found is None:
        raise _refused(f"There is no page {page_id[:80]!r}; name one that /api/pages lists.")
    return of_stored(found)


async def newest(run: ClaimedRun, *, parts: Parts) -> Base | None:
    """The page that the run's session made or changed last, None when it made none. Raises `RunFailed`."""
    pages = parts.pages
    found = None if pages is None else await _read(lambda: pages.newest(run), parts)
    return None if found is None else of_stored(found)


def views(base: Base) -> Sequence[SlotView]:
    """The slots as the planner is shown them."""
    layout = base.blueprint.get("layout") if isinstance(base.blueprint, Mapping) else None
    return [
        SlotView(slot["slot"], slot["title"], slot["node"], _preview(base.outputs.get(slot["node"])))
        for slot in layout or ()
    ]


def divide(plan: Plan, known: Mapping[str, Json], again: Collection[str]) -> Division:
    """Divide a changed blueprint's nodes, given the page's outputs and the nodes that run again.

    A node whose output is not known runs if it fills a slot, is the output, or a node that runs needs it.
    """
    run = {name for name in plan.order if name in again}
    shown = {slot.node for slot in plan.blueprint.layout or ()} | references.needs(plan.blueprint.output)
    run |= {name for name in shown if name not in known}
    for name in reversed(plan.order):
        if name in run:
            run |= {need for need in plan.needs[name] if need not in known}
    kept = {name: known[name] for name in plan.order if name in known and name not in run}
    return Division(frozenset(run), kept, frozenset(plan.order) - run - kept.keys())


def done(plan: Plan, base: Base, patched: Patched) -> Done:
    """The step `plan` of a patch, with what stays of the page recorded beside it."""
    division = divide(plan, base.outputs, patched.nodes)
    beside: dict[str, Json] = {f"node:{name}": output for name, output in division.kept.items()}
    beside |= {f"{GAP}{gap.step}": gap.error() for gap in base.gaps if gap.node in division.kept}
    output = {
        "blueprint": patched.blueprint,
        "inputs": patched.inputs,
        "origin": patched.origin,
        "warnings": list(patched.warnings),
        "nodes": sorted(division.again),
        "left_out": sorted(division.left_out),
        "rewritten": list(patched.rewritten),
        "earlier": {name: base.outputs[name] for name in sorted(division.again) if name in base.outputs},
        "sources": list(base.sources) if division.left_out else [],
        "parent": None if base.ref is None else {"page_id": base.ref.page_id, "version": base.ref.version},
    }
    return Done(output, patched.usage, (events.planned(patched.origin, patched.warnings),), beside=beside)


def start(plan: Plan, recorded: Json, instruction: str) -> Start:
    """How the changed blueprint is run, by what its step `plan` recorded."""
    earlier = recorded["earlier"]
    nodes = {slot.node for slot in plan.blueprint.layout or () if slot.slot in recorded["rewritten"]}
    return Start(
        shown=earlier,
        left_out=frozenset(recorded["left_out"]),
        rewrites={name: Rewrite(earlier.get(name), instruction) for name in nodes},
        sources=recorded["sources"],
    )


def is_change(recorded: Json) -> bool:
    """Whether what a step `plan` recorded is a change of a page."""
    return "parent" in recorded


def parent(recorded: Json) -> PageRef | None:
    """The version that the run changes, by what its step `plan` recorded."""
    ref = recorded["parent"]
    return None if ref is None else PageRef(ref["page_id"], ref["version"])


async def _read(ask: Callable[[], Awaitable[StoredPage | None]], parts: Parts) -> StoredPage | None:
    return await retrying.until_deadline(
        ask, part="the page store", deadline_s=parts.limits.store_deadline_s, sleep=parts.sleep
    )


def _preview(value: Json) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text[:PREVIEW_CHARACTERS]


def _refused(text: str) -> RunFailed:
    return RunFailed(FailureCode.INVALID_BLUEPRINT, text)
