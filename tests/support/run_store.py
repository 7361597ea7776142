"""Where real journals are stored in memory, flush by flush, and where their owner dies at a flush of the test's choice."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from headrace_executor import events
from headrace_executor.model import ClaimedRun, StepRecord
from headrace_executor.runs.journal import BufferLimits, RunJournal
from headrace_executor.runs.openings import Openings
from headrace_executor.runs.records import Ending
from headrace_llm.usage import Usage


class RunStore:
    """One run's rows. A flush takes `delay()` seconds, and the owner dies at the flush that `crash` names."""

    def __init__(self, *, delay: Callable[[], float] = lambda: 0.0) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.steps: dict[str, StepRecord] = {}
        self.ending: Ending | None = None
        self.flushes = 0
        """Of the owner that there is."""
        self.crash: tuple[int, bool] | None = None
        """The flush that the owner dies at, from 1, and whether that is stored."""
        self.died = asyncio.Event()
        self._delay = delay
        self._due = False

    def own(self, run: ClaimedRun) -> RunJournal:
        """A journal for the next owner."""
        self.died, self.flushes, self._due = asyncio.Event(), 0, False
        openings = Openings()
        for event in self.events:
            openings.see(event)
        journal = RunJournal(
            run,
            last_seq=len(self.events),
            mark=self._mark,
            limits=BufferLimits(),
            steps=self.steps,
            openings=openings,
        )
        if not self.events:
            journal.emit(events.run_started(run.session_id, run.run_id))
        return journal

    def _mark(self, journal: RunJournal, urgent: bool) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(self._delay(), self._flush, journal)

    def _flush(self, journal: RunJournal) -> None:
        self._due = False
        if journal.lost:
            return
        write = journal.take()
        if write is None:
            return
        self.flushes += 1
        dies = self.crash is not None and self.flushes == self.crash[0]
        if not dies or (self.crash is not None and self.crash[1]):
            assert write.chunk.first_seq == len(self.events) + 1, "a gap in the numbers of the events"
            self.events += [orjson.loads(data) for data in write.chunk.events]
            for step in write.steps:
                assert step.name not in self.steps, f"{step.name} was recorded twice"
                self.steps[step.name] = StepRecord(orjson.loads(step.output), Usage.from_json(orjson.loads(step.usage)))
            self.ending = write.ending or self.ending
        if dies:
            self.died.set()
            journal.lose()
        else:
            journal.stored(write)
