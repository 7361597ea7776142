"""Pipelines that make pages, and drafts of them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace_executor import events
from headrace_executor.durable import Stores
from headrace_executor.model import ClaimedRun, Outcome
from headrace_executor.ports import Journal, PageDraft, PageRef
from headrace_llm.usage import ModelUsage, Usage

PAID = Usage({"big": ModelUsage(llm_calls=1, prompt_tokens=10, completion_tokens=5, cost_usd=0.001)})


def blueprint(*nodes: str, name: str = "Report") -> dict[str, Any]:
    """A blueprint whose nodes each fill a slot."""
    return {
        "version": 1,
        "name": name,
        "nodes": [{"id": node, "kind": "compute", "expr": "1"} for node in nodes],
        "layout": [{"slot": f"s_{node}", "title": node.upper(), "node": node} for node in nodes],
        "output": f"${{nodes.{nodes[0]}.output}}",
    }


def draft(outputs: Mapping[str, Any], **fields: Any) -> PageDraft:
    """A page of these nodes."""
    made = PageDraft(blueprint(*outputs), {"x": 1}, dict(outputs), (), [{"document_id": "d"}], PAID)
    return replace(made, **fields)


@dataclass
class PageMaker:
    """Saves a page in each run. `draft` may look at the run; `after` is awaited when it is saved."""

    stores: Stores | None = None
    draft: Callable[[ClaimedRun], PageDraft] = lambda run: draft({"a": "text"})
    after: Callable[[Journal], Any] | None = None
    saved: list[PageRef] = field(default_factory=list)

    def __call__(self, stores: Stores) -> "PageMaker":
        self.stores = stores
        return self

    async def run(self, journal: Journal) -> Outcome:
        assert self.stores is not None
        journal.emit(events.step_started("page"), events.step_finished("page"))
        ref = await self.stores.pages.save(journal.run, self.draft(journal.run))
        self.saved.append(ref)
        if self.after is not None:
            await self.after(journal)
        return Outcome({"page": {"page_id": ref.page_id, "version": ref.version}})


async def forever(_: Journal) -> None:
    """Never end."""
    await asyncio.Event().wait()
