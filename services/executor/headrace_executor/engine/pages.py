"""Runs a plan and keeps what it made of a blueprint with a layout: a page, or a new version of the one that it changed.

A page that was changed while the run worked is not overwritten: both changes are merged, or the run fails and says why.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from headrace_blueprint.plan import Plan
from headrace_llm.usage import Usage

from headrace_executor.engine import answers, catalog, merging, page, requests, retrying
from headrace_executor.engine.execution import NOTHING, Executed, Start, execute
from headrace_executor.engine.frames import Frame
from headrace_executor.engine.metrics import PAGE_MERGES
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.scope import Scope
from headrace_executor.engine.steps import Done, once
from headrace_executor.errors import PageMoved, RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Journal, PageDraft, PageRef, Pages, StoredPage

MAX_MERGES = 16
"""Merges that a run attempts, one for each other run that saved its version first."""
MAX_QUOTED = 200
"""Characters of another change's sentence in an error."""

T = TypeVar("T")


async def made(
    journal: Journal,
    plan: Plan,
    *,
    inputs: Mapping[str, Json],
    parts: Parts,
    start: Start = NOTHING,
    workflow_id: str = "",
    parent: PageRef | None = None,
    instruction: str = "",
) -> Executed:
    """Run a plan, save its page as the run's last step, once, and name it. Raises `RunFailed`.

    `start` and `workflow_id` are those of `execute`. A blueprint without a layout makes no page. What comes back is the
    page as it was saved: with what others changed meanwhile.
    """
    executed = await execute(journal, plan, inputs=inputs, parts=parts, start=start, workflow_id=workflow_id)
    blueprint = executed.plan.blueprint
    if parts.pages is None or not blueprint.layout:
        return executed
    draft = PageDraft(
        blueprint=blueprint.to_json(),
        inputs=inputs,
        outputs=executed.outputs,
        gaps=executed.gaps,
        sources=answers.sources(executed),
        usage=sum((step.usage for step in journal.steps.values()), Usage()),
        parent=parent,
        instruction=instruction,
    )
    saving = _Saving(journal, parts, parts.pages)
    saved = await once(journal, "page", lambda: saving.save(draft))
    ref = PageRef(saved["page_id"], saved["version"])
    if saved.get("merged"):
        executed = await saving.as_saved(executed, ref)
    return replace(executed, page=ref)


class _Saving:
    """One run's page on its way into the store."""

    def __init__(self, journal: Journal, parts: Parts, pages: Pages) -> None:
        self._journal = journal
        self._parts = parts
        self._pages = pages

    async def save(self, draft: PageDraft) -> Done:
        """Save a version. After a merge, readers get a snapshot of the whole page. Raises `RunFailed`."""
        ref = await self._stored(draft)
        merged = draft.parent is not None and ref.parent_version != draft.parent.version
        known = await self._load(ref) if merged else None
        if known is None:
            return Done({"page_id": ref.page_id, "version": ref.version})
        PAGE_MERGES.labels("merged").inc()
        plan, limit = self._compiled(known.draft.blueprint), self._parts.limits.max_event_bytes
        shown = page.snapshot(plan.blueprint, known.draft.outputs, max_bytes=limit)
        return Done({"page_id": ref.page_id, "version": ref.version, "merged": True}, events=(shown,))

    async def as_saved(self, executed: Executed, ref: PageRef) -> Executed:
        """The run's result as it was saved, with what others changed; unchanged if the page was deleted meanwhile."""
        known = await self._load(ref)
        if known is None:
            return executed
        draft = known.draft
        plan = self._compiled(draft.blueprint)
        return replace(
            executed,
            plan=plan,
            outputs=draft.outputs,
            output=Frame(plan, Scope(draft.inputs, draft.outputs), math.inf).output(),
            gaps=draft.gaps,
            searches=({"chunks": draft.sources},),
        )

    async def _stored(self, draft: PageDraft) -> PageRef:
        wanted = draft
        for _ in range(MAX_MERGES + 1):
            try:
                return await self._asked(partial(self._pages.save, self._journal.run, wanted))
            except PageMoved as moved:
                wanted = await self._merged(draft, moved.current)
        raise _refused(f"The page was changed {MAX_MERGES} times while this change was being kept; send it again.")

    async def _merged(self, draft: PageDraft, current: int) -> PageDraft:
        """The change on top of the version that is current."""
        assert draft.parent is not None
        base = await self._load(draft.parent)
        theirs = await self._load(replace(draft.parent, version=current))
        if base is None or theirs is None:
            raise _refused("The version that was changed, or the current one, was removed meanwhile; send it again.")
        ours = replace(draft, parent=theirs.ref)
        try:  # it may be 64 MiB; the loop goes on meanwhile
            return await asyncio.to_thread(merging.merged, base.draft, ours, theirs.draft, self._compiled)
        except merging.Conflict as conflict:
            raise _conflicting(theirs, str(conflict)) from conflict
        except RunFailed as failed:
            raise _conflicting(theirs, "parts of the page that read each other") from failed

    async def _load(self, ref: PageRef) -> StoredPage | None:
        return await self._asked(lambda: self._pages.load(self._journal.run, ref.page_id, ref.version))

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await retrying.until_deadline(
            ask, part="the page store", deadline_s=self._parts.limits.store_deadline_s, sleep=self._parts.sleep
        )

    def _compiled(self, blueprint: Json) -> Plan:
        return requests.compiled(blueprint, tools=catalog.schemas(self._parts.toolbox, self._journal.run.tenant_id))


def _conflicting(theirs: StoredPage, subjects: str) -> RunFailed:
    said = theirs.draft.instruction
    sentence = f" (“{said[:MAX_QUOTED]}{'…' if len(said) > MAX_QUOTED else ''}”)" if said else ""
    return _refused(
        f"This change was not kept: meanwhile version {theirs.ref.version}{sentence} became the current one, and both "
        f"concern {subjects}. Look at the page as it is, and send the sentence again if it still holds."
    )


def _refused(text: str) -> RunFailed:
    PAGE_MERGES.labels("conflict").inc()
    return RunFailed(FailureCode.CONFLICT, text)
