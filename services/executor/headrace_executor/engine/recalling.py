"""The step `recall`: what the run's session remembers that has to do with the request, as prompts read it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from headrace_runtime import errors

from headrace_executor import events
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.metrics import RECALLS
from headrace_executor.engine.steps import Done
from headrace_executor.errors import StoreRefused
from headrace_executor.model import ClaimedRun, Json
from headrace_executor.ports import Memories, Recalled

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recall:
    """What was recalled."""

    text: str = ""
    """A memory a line, the nearest first; empty when there is none."""
    warnings: tuple[str, ...] = ()

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> "Recall":
        """Decode the output of the step."""
        return Recall(value["text"], tuple(value["warnings"]))


NOTHING = Recall()


async def recall(run: ClaimedRun, memories: Memories | None, query: str, *, top_k: int, limits: Limits) -> Done:
    """Ask once. It never fails: an answer without memories is better than none, so that a failure is only a warning."""
    found: Sequence[Recalled] = ()
    warnings: tuple[str, ...] = ()
    try:
        if memories is not None:
            async with asyncio.timeout(limits.recall_deadline_s):
                found = await memories.recall(run, query, top_k=top_k)
        RECALLS.labels("found" if found else "nothing").inc()
    except (errors.ServiceError, StoreRefused, TimeoutError) as error:
        RECALLS.labels("failed").inc()
        log.warning("not_recalled", error=type(error).__name__, run_id=run.run_id)
        warnings = ("what the session remembers could not be recalled; the answer does without it",)
    near = [one for one in found if one.score >= limits.recall_min_score]
    text, used = _lines(near, max_characters=limits.recall_characters)
    shown = {"memories": [{"key": one.key, "score": round(one.score, 4)} for one in used], "warnings": list(warnings)}
    return Done({"text": text, "warnings": list(warnings)}, events=(events.custom("headrace.recalled", shown),))


def _lines(found: Sequence[Recalled], *, max_characters: int) -> tuple[str, Sequence[Recalled]]:
    """The nearest memories that fit, one a line; the nearest is cut if it alone does not fit."""
    lines: list[str] = []
    left = max_characters
    for one in found:
        line = f"- {one.key}: {' '.join(one.text.split())}"
        if len(line) > left and lines:
            break
        lines.append(line[:left])
        left -= len(lines[-1]) + 1
        if left <= 0:
            break
    return "\n".join(lines), found[: len(lines)]
