"""What a new owner learns from the last one: finished steps, and what its log left open."""

from collections.abc import Mapping

import orjson

from headrace_executor.model import StepRecord
from headrace_executor.runs.openings import Openings
from headrace_executor.runs.stores import LogStore

PAGE = 64
"""Chunks of the log that are read at once."""


async def read_past(logs: LogStore, run_id: str) -> tuple[Mapping[str, StepRecord], Openings]:
    """Read a run's finished steps and follow its events, once. Raises what the store raises."""
    steps = await logs.steps(run_id)
    openings = Openings()
    after = 0
    while chunks := await logs.read(run_id, after=after, limit=PAGE):
        for chunk in chunks:
            for event in chunk.events:
                openings.see(orjson.loads(event))
        after = chunks[-1].last_seq
    return steps, openings
