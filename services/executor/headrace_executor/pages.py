"""The use cases of pages: get, list, versions, restore, delete. Runs make them (`ports.Pages`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson
from headrace_llm.usage import Usage
from headrace_runtime import errors

from headrace_executor.engine.large import capped, fitted
from headrace_executor.model import Json
from headrace_executor.ports import Gap
from headrace_executor.runs import ids

MAX_FIELD_BYTES = 1024 * 1024
"""Largest field of a page's answer; what is larger is replaced by its size, its beginning and the step that has it."""
PARTS = ("blueprint", "inputs", "sources")
"""What a version has beside its nodes' outputs, as steps name it."""


@dataclass(frozen=True, slots=True)
class PageVersion:
    """A version of a page, without what it holds."""

    page_id: str
    version: int
    current: bool
    parent_version: int
    """0 for none."""
    instruction: str
    title: str
    run_id: str
    session_id: str
    created_at: datetime
    usage: Usage


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a version holds."""

    blueprint: Json
    inputs: Json
    sources: Json
    gaps: Sequence[Gap]
    outputs: Mapping[str, Json]
    """By node."""


@dataclass(frozen=True, slots=True)
class ShownPage:
    """A version as its readers get it: JSON, each at most `MAX_FIELD_BYTES`."""

    version: PageVersion
    blueprint: bytes
    inputs: bytes
    slots: bytes
    sources: bytes


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of an undo."""

    current: int
    """The current version before it."""
    parent: int
    """Its parent, 0 for none."""
    known: bool
    """Whether there is the version that was asked for."""
    done: bool


class PageStore(Protocol):
    """Keeps pages. Every method raises `errors.StoreAway` and `errors.StoreRefused`."""

    async def read(self, tenant_id: str, page_id: str, version: int) -> tuple[PageVersion, PageContent] | None:
        """A version, the current one for 0, with all that it holds."""

    async def value(self, tenant_id: str, page_id: str, version: int, name: str) -> Sequence[bytes] | None:
        """The parts of one value of a version; none when the version has no such, None when there is no such version."""

    async def find(self, tenant_id: str, page_id: str) -> PageVersion | None:
        """A page's current version."""

    async def list(
        self, tenant_id: str, *, session_id: str | None, before: str | None, limit: int
    ) -> Sequence[PageVersion]:
        """The current versions of pages older than `before`, the newest page first."""

    async def versions(self, tenant_id: str, page_id: str) -> Sequence[PageVersion]:
        """All versions of a page, oldest first; none when there is no such page."""

    async def restore(self, tenant_id: str, page_id: str, *, version: int, expected: int) -> Restored | None:
        """Make a version, the current one's parent for 0, the current one, if that is the expected one (0: any)."""

    async def delete(self, tenant_id: str, page_id: str) -> bool:
        """Remove a page with all its versions; False when there is no such page."""


class KeptPages:
    """What may be asked about pages."""

    def __init__(self, store: PageStore) -> None:
        self._store = store

    async def get(self, tenant_id: str, page_id: str, version: int) -> ShownPage:
        """A version with what it holds; 0 is the current one. Raises NotFound."""
        found = await self._store.read(tenant_id, _known(page_id), version)
        if found is None:
            raise not_found(version)
        return shown(*found)

    async def output(self, tenant_id: str, page_id: str, version: int, step: str) -> Sequence[bytes]:
        """One value of a version, JSON, in pieces. Raises NotFound (PAGE_NOT_FOUND, STEP_NOT_FOUND)."""
        name = step if step in PARTS or step.startswith("node:") else ""
        pieces = await self._store.value(tenant_id, _known(page_id), version, name)
        if pieces is None:
            raise not_found(version)
        if not pieces:
            raise errors.NotFound(f"the page has no step {step[:200]!r}", reason="STEP_NOT_FOUND")
        return pieces

    async def list(
        self, tenant_id: str, *, session_id: str | None, before: str | None, limit: int
    ) -> tuple[Sequence[PageVersion], str | None]:
        """The current versions of a page of pages, the newest first, and where the next one begins."""
        found = await self._store.list(tenant_id, session_id=session_id, before=before, limit=limit + 1)
        page = found[:limit]
        return page, page[-1].page_id if len(found) > limit else None

    async def versions(self, tenant_id: str, page_id: str) -> Sequence[PageVersion]:
        """All versions of a page, oldest first. Raises NotFound."""
        found = await self._store.versions(tenant_id, _known(page_id))
        if not found:
            raise not_found()
        return found

    async def restore(self, tenant_id: str, page_id: str, *, version: int, expected: int) -> PageVersion:
        """Make an earlier version the current one; 0 is the current one's parent.

        Raises NotFound, Aborted (PAGE_CHANGED) and FailedPrecondition (NOTHING_TO_UNDO).
        """
        known = _known(page_id)
        restored = await self._store.restore(tenant_id, known, version=version, expected=expected)
        if restored is None:
            raise not_found()
        if expected and restored.current != expected:
            raise changed(restored.current, expected)
        if not version and not restored.parent:
            text = f"version {restored.current} was made from none; there is nothing to undo"
            raise errors.FailedPrecondition(text, reason="NOTHING_TO_UNDO")
        if not restored.known and not version:
            text = f"version {restored.current} was made from version {restored.parent}, which is no longer kept"
            raise errors.FailedPrecondition(text, reason="NOTHING_TO_UNDO")
        if not restored.known:
            raise not_found(version)
        found = await self._store.find(tenant_id, known)
        if found is None:
            raise not_found()
        return found

    async def delete(self, tenant_id: str, page_id: str) -> None:
        """Remove a page with all its versions. Raises NotFound."""
        if not await self._store.delete(tenant_id, _known(page_id)):
            raise not_found()


def not_found(version: int = 0) -> errors.NotFound:
    """There is no such page or version of it, or it is another tenant's."""
    return errors.NotFound(
        f"no such page, or no version {version} of it" if version else "no such page", reason="PAGE_NOT_FOUND"
    )


def changed(current: int, expected: int) -> errors.Aborted:
    """Another version is current than the caller believes."""
    text = f"the page's current version is {current}, not {expected}; look at it, and say what you want of that one"
    return errors.Aborted(text, reason="PAGE_CHANGED")


def shown(version: PageVersion, content: PageContent) -> ShownPage:
    """A version as its readers get it."""
    failed = {gap.step: gap.error() for gap in content.gaps}
    slots: list[Json] = []
    steps: dict[tuple[str | int, ...], str] = {}
    for index, slot in enumerate(content.blueprint.get("layout") or ()):
        step = f"node:{slot['node']}"
        gap = {"gap": failed[step]} if step in failed else {}
        slots.append({**slot, "value": content.outputs.get(slot["node"]), **gap})
        steps[index, "value"] = step
    return ShownPage(
        version,
        blueprint=orjson.dumps(capped(content.blueprint, MAX_FIELD_BYTES, "blueprint")),
        inputs=orjson.dumps(capped(content.inputs, MAX_FIELD_BYTES, "inputs")),
        slots=orjson.dumps(fitted(slots, steps, max_bytes=MAX_FIELD_BYTES)),
        sources=orjson.dumps(capped(content.sources, MAX_FIELD_BYTES, "sources")),
    )


def _known(page_id: str) -> str:
    known = ids.parse(page_id)
    if known is None:
        raise not_found()
    return known
