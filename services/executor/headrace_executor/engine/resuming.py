"""A run that answers what an earlier run of its session asked back: what it goes on with."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from headrace_executor.engine import answers as ends
from headrace_executor.engine import clarifications, retrying
from headrace_executor.engine.clarifications import Answers
from headrace_executor.engine.limits import Limits
from headrace_executor.engine.retrying import Sleep
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Interrupted, Interruptions, Journal

MAX_CHAIN = 8
"""Runs of which each answers what the next asked back."""

_ABSENT: tuple[Json, ...] = (None, "", "auto", [], {})
"""Values of a body that say nothing."""


async def followed(
    journal: Journal, interruptions: Interruptions | None, *, limits: Limits, sleep: Sleep
) -> tuple[Mapping[str, Json], Answers]:
    """The run's body, its gaps filled from that of the run that asked back, and what was answered.

    A question that is given up beside another message than it was about leaves that message, as if nothing had been asked.
    Raises `RunFailed` when the session knows no such question, or an answer is none of its candidates.
    """

    async def asker(resume: Sequence[Mapping[str, Json]]) -> Interrupted | None:
        if interruptions is None:
            raise RunFailed(FailureCode.INTERNAL, "This executor keeps no interrupts; send the message again.")
        return await retrying.until_deadline(
            partial(interruptions.load, journal.run, clarifications.asking_run(resume)),
            part="the run store",
            deadline_s=limits.history_deadline_s,
            sleep=sleep,
        )

    body, given = dict(journal.run.body), Answers()
    for _ in range(MAX_CHAIN):
        resume = body.pop("resume", None)
        if not resume:
            return body, given
        asked = await asker(resume)
        found = clarifications.answered(resume, asked)
        if asked is None:
            return body, found
        if found.cancelled:
            said = body.get("message") or body.get("prompt")
            return body, given if said and said != await _about(asked, asker) else found
        given = replace(given, chosen=(*given.chosen, *found.chosen), intent=given.intent or found.intent)
        body = _filled(body, asked.body, given.intent)
    raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"More than {MAX_CHAIN} runs asked back; send the whole message again.")


async def _about(asked: Interrupted, asker: Callable[[Json], Awaitable[Interrupted | None]]) -> str:
    """The message that the question is about, found through the runs that only answered one; "" when it is gone."""
    for _ in range(MAX_CHAIN):
        text = asked.body.get("message") or asked.body.get("prompt") or ""
        if text or not asked.body.get("resume"):
            return str(text)
        earlier = await asker(asked.body["resume"])
        if earlier is None:
            break
        asked = earlier
    return ""


def _filled(body: Mapping[str, Json], earlier: Mapping[str, Json], intent: str) -> dict[str, Json]:
    """A body whose gaps are filled. A prompt is a message, and what was a build stays one without asking the router."""
    filled = {**earlier, **{name: value for name, value in body.items() if value not in _ABSENT}}
    text = body.get("message") or body.get("prompt") or earlier.get("message") or earlier.get("prompt")
    mode = filled.get("mode")
    if mode in _ABSENT and intent:
        mode = "build" if intent in ends.BUILDS else intent
    return {**filled, "message": text, "prompt": text, "mode": mode}
