"""Steps of a run: each is done once, whoever owns the run, and is one span of its trace."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from headrace_llm.usage import Usage
from headrace_runtime import telemetry
from opentelemetry import trace

from headrace_executor import events
from headrace_executor.model import Json
from headrace_executor.ports import Event, Journal

tracer = trace.get_tracer("headrace_executor")


@dataclass(frozen=True, slots=True)
class Done:
    """What a step came to."""

    output: Json
    usage: Usage = field(default_factory=Usage)
    events: Sequence[Event] = ()
    """Committed with the step, before its STEP_FINISHED: a reader has them exactly when the step is done."""


async def once(journal: Journal, step: str, action: Callable[[], Awaitable[Done]]) -> Json:
    """Return the recorded output of `step`, or do `action` and record it.

    Only a step that was paid for waits until it is stored: the others may run again if this process dies before.
    """
    record = journal.steps.get(step)
    if record is not None:
        return record.output
    journal.emit(events.step_started(step))
    with telemetry.span(tracer, step):
        done = await action()
        last = (*done.events, events.step_finished(step))
        if done.usage.models:
            await journal.checkpoint(step, done.output, usage=done.usage, events=last)
        else:
            journal.record(step, done.output, usage=done.usage, events=last)
            await journal.drained()
    return done.output
