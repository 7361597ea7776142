"""Changing a page: a plain sentence by rules, any other by a model, and by the slots that it names when no model helps."""

import time
from collections.abc import Callable

import structlog
from headrace_llm.usage import Usage

from headrace_planner import metrics, toolbox
from headrace_planner.draft_schema import Language
from headrace_planner.errors import DraftFailed, PatchUnclear
from headrace_planner.library import Library
from headrace_planner.model import Origin
from headrace_planner.patching import naming, policy
from headrace_planner.patching.mapping import Mapping
from headrace_planner.patching.model import Change, Patch, Patched, PatchRequest
from headrace_planner.ports import Drafter

RESERVE_S = 1.0
"""Of the caller's deadline, kept for the way without a model."""
MAX_TITLES = 20
"""Most slots that an error names."""

log = structlog.get_logger()


class Patcher:
    """Changes pages; a model may take `timeout_s` seconds for one. `clock` gives seconds that only grow."""

    def __init__(
        self, library: Library, drafter: Drafter, *, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._library = library
        self._drafter = drafter
        self._timeout_s = timeout_s
        self._clock = clock

    async def patch(self, request: PatchRequest, *, budget_s: float | None) -> Patch:
        """Map a sentence to what of a page changes, within `budget_s` seconds when the caller has a deadline.

        Raises `PatchUnclear`, `PatchTooLong`, and `UnknownModel` for the request's model.
        """
        started = self._clock()
        try:
            patch = _plain(request) or await self._by_model(request, started + self._patience_s(budget_s))
        except PatchUnclear:
            metrics.PATCHES.labels("unclear").inc()
            raise
        metrics.PATCHES.labels(patch.origin.value).inc()
        metrics.PATCH_SECONDS.labels(patch.origin.value).observe(self._clock() - started)
        return patch

    def _patience_s(self, budget_s: float | None) -> float:
        return self._timeout_s if budget_s is None else min(self._timeout_s, budget_s - RESERVE_S)

    async def _by_model(self, request: PatchRequest, deadline: float) -> Patch:
        small = Language.of(self._drafter.context_tokens(request.model)) is Language.COMPACT
        if small and naming.named(request.instruction, request.page.layout):
            return _by_names(request, "the planner's model is too small to be asked what else changes", Usage())
        mapping = Mapping(request, library=self._library, drafter=self._drafter, clock=self._clock)
        try:
            patched = await mapping.run(deadline=deadline)
        except DraftFailed as error:
            metrics.DRAFT_FAILURES.labels(error.reason).inc()
            log.info("mapping_failed", reason=error.reason)
            return _by_names(request, error.message, mapping.usage)
        if patched is None:
            log.info("mapping_given_up", repairs=mapping.repairs)
            return _by_names(request, "the model's answer was no change that can be made", mapping.usage)
        if mapping.repairs:
            warnings = (*request.warnings, "the model's change was repaired")
            return Patch(patched, Origin.REPAIRED, warnings, mapping.usage)
        return Patch(patched, Origin.MODEL, request.warnings, mapping.usage)


def _plain(request: PatchRequest) -> Patch | None:
    change = naming.plain(request.instruction, request.page.layout)
    return Patch(_applied(request, change), Origin.BUILTIN, request.warnings) if change else None


def _by_names(request: PatchRequest, why: str, usage: Usage) -> Patch:
    """Rewrite the slots that the sentence names."""
    layout = request.page.layout
    slots = naming.named(request.instruction, layout)
    if not slots:
        titles = ", ".join(slot.title for slot in layout[:MAX_TITLES]) + (", …" if len(layout) > MAX_TITLES else "")
        raise PatchUnclear(f"it is not clear which slot the change concerns ({why}); name one of: {titles}", usage)
    warnings = (*request.warnings, f"the slots that the sentence names are rewritten: {why}")
    return Patch(_applied(request, Change(rewrite=slots)), Origin.TEMPLATE, warnings, usage)


def _applied(request: PatchRequest, change: Change) -> Patched:
    tools = toolbox.schemas((*request.tools, *toolbox.BUILTIN))
    return policy.applied(request.page, change, request.instruction, tools=tools)
