"""Steps of a run: each is done once, whoever owns the run, and is one span of its trace."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headrace_llm.usage import Usage
from headrace_runtime import telemetry
from opentelemetry import trace

from headrace_executor import events
from headrace_executor.model import Json
from headrace_executor.ports import Event, Journal

GAP = "gap:"
"""Begins the name of the record beside a step that left a gap: {code, message}. It is no step of its own."""

tracer = trace.get_tracer("headrace_executor")


@dataclass(frozen=True, slots=True)
class Done:
    """What a step came to."""

    output: Json
    usage: Usage = field(default_factory=Usage)
    events: Sequence[Event] = ()
    """Committed with the step, before its STEP_FINISHED: a reader has them exactly when the step is done."""
    only_once: bool = False
    """Whether it must not be done twice though it cost nothing: the run goes on when it is stored."""
    after: Sequence[Event] = ()
    """Committed with it, behind its STEP_FINISHED."""
    beside: Mapping[str, Json] = field(default_factory=dict)
    """Further records that are stored with it or not at all, by their names."""


async def once(journal: Journal, step: str, action: Callable[[], Awaitable[Done]]) -> Json:
    """Return the recorded output of `step`, or do `action` and record it.

    Only a step that was paid for, or changed something outside, waits until it is stored: the others may run again if
    this process dies before.
    """
    record = journal.steps.get(step)
    if record is not None:
        return record.output
    journal.emit(events.step_started(step))
    with telemetry.span(tracer, step):
        done = await action()
        last = (*done.events, events.step_finished(step), *done.after)
        for name, value in done.beside.items():  # no await is in between: one flush takes them all
            journal.record(name, value, usage=Usage())
        if done.usage.models or done.only_once:
            await journal.checkpoint(step, done.output, usage=done.usage, events=last)
        else:
            journal.record(step, done.output, usage=done.usage, events=last)
            await journal.drained()
    return done.output
