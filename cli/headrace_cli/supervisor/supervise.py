"""Keeps all parts running: starts them when their needs are ready, restarts what crashes, stops them in order.

It decides nothing about restarts (policy.py) and prints nothing: each change is handed to `on_change` as a whole `State`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from headrace_cli.errors import PartFailed
from headrace_cli.supervisor import logfiles, policy, state
from headrace_cli.supervisor.plan import Part, stop_order
from headrace_cli.supervisor.process import Arrival, Child
from headrace_cli.supervisor.state import PartPhase, PartRecord, Phase, ScaleRecord, State, StateDir

LOG_TAIL = 20
"""Among this many last lines of a failed part's log the last one with text is shown."""
MAX_LOG_LINE = 300
"""Characters of it."""


@dataclass(slots=True)
class _Kept:
    """What the supervisor remembers of one part."""

    part: Part
    record: PartRecord
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the part has been ready for the first time."""
    child: Child | None = None
    task: asyncio.Task[None] | None = None
    failures: int = 0


class Supervisor:
    """Owns the processes of one state dir. Not to be used after `stop`."""

    def __init__(
        self,
        directory: StateDir,
        initial: State,
        *,
        on_change: Callable[[State], None],
        limits: policy.BackOff | None = None,
    ) -> None:
        self._directory = directory
        self._state = initial
        self._on_change = on_change
        self._limits = limits or policy.BackOff()
        self._kept: dict[str, _Kept] = {}
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._publish()

    @property
    def state(self) -> State:
        """The newest state."""
        return self._state

    def add(self, parts: tuple[Part, ...]) -> None:
        """Keep these parts running from now on. A part's needs are among the parts that were or are added."""
        for part in parts:
            self._kept[part.name] = _Kept(part, self._first_record(part))
        for part in parts:
            kept = self._kept[part.name]
            kept.task = asyncio.create_task(self._keep(kept), name=f"keep {part.name}")
            kept.task.add_done_callback(self._task_ended)
        self._publish()

    async def remove(self, name: str, hurry: asyncio.Event) -> None:
        """Stop one part and forget it; bounded as `stop` is. What it takes to end cleanly it may take."""
        kept = self._kept[name]
        if kept.task is not None:
            kept.task.cancel()
            await asyncio.gather(kept.task, return_exceptions=True)
        await self._stop_one(kept, hurry)
        del self._kept[name]
        self._publish()

    def tell_scale(self, scale: ScaleRecord) -> None:
        """Make a decision about the number of executors known."""
        if scale != self._state.scale:
            self._state = self._state.model_copy(update={"scale": scale})
            self._publish()

    async def all_ready(self) -> None:
        """Wait until each part has been ready once. Raises `PartFailed` when one will not be."""
        everyone = asyncio.create_task(self._each_ready(), name="all ready")
        try:
            await asyncio.wait((everyone, self._broken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            everyone.cancel()
        if self._broken.done():
            self._broken.result()
        self.announce(phase=Phase.READY)

    async def _each_ready(self) -> None:
        for kept in self._kept.values():
            await kept.ready.wait()

    async def broken(self) -> None:
        """Wait until a part can't be kept running any more, which raises `PartFailed`."""
        await asyncio.shield(self._broken)

    def announce(self, *, phase: Phase, error: str = "", hint: str = "") -> None:
        """Move the whole into a phase."""
        self._state = self._state.model_copy(update={"phase": phase, "error": error, "hint": hint})
        self._publish()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Stop the parts in order; each wait is bounded by the part's `stop_s`, and by nothing once `hurry` is set."""
        failed = self._state.phase is Phase.FAILED
        if not failed:
            self.announce(phase=Phase.STOPPING)
        tasks = [kept.task for kept in self._kept.values() if kept.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for group in stop_order(tuple(kept.part for kept in self._kept.values())):
            await asyncio.gather(*(self._stop_one(self._kept[part.name], hurry) for part in group))
        if self._broken.done():
            self._broken.exception()
        else:
            self._broken.cancel()
        if not failed:
            self.announce(phase=Phase.STOPPED)

    async def _stop_one(self, kept: _Kept, hurry: asyncio.Event) -> None:
        if kept.child is not None:
            self._set(kept, phase=PartPhase.STOPPING)
            await kept.child.stop(hurry)
        self._set(kept, phase=PartPhase.STOPPED, process=None, next_start=None)

    async def _keep(self, kept: _Kept) -> None:
        try:
            for need in kept.part.needs:
                await self._kept[need].ready.wait()
            while (decision := await self._one_life(kept)).action is policy.Action.RESTART:
                kept.failures = decision.failures
                self._set(
                    kept,
                    phase=PartPhase.BACK_OFF,
                    process=None,
                    last_end=decision.reason,
                    restarts=kept.record.restarts + 1,
                    next_start=state.now() + decision.delay_s,
                )
                await asyncio.sleep(decision.delay_s)
            self._break(kept, decision.reason)
        except OSError as error:
            self._break(kept, f"it could not be started: {error}")

    async def _one_life(self, kept: _Kept) -> policy.Decision:
        try:
            child = Child(kept.part, self._directory.log(kept.part.name))
        except OSError as error:  # no space for its log, no process or descriptor left
            if not kept.ready.is_set():
                raise
            return policy.after_start_failure(str(error), failures=kept.failures, limits=self._limits)
        kept.child = child
        self._set(kept, phase=PartPhase.STARTING, process=state.identify(child.pid), next_start=None)
        arrival = await child.arrive(kept.part.program.ready)
        ready_s, code = 0.0, None
        if arrival is Arrival.LATE:
            await child.kill()
        else:
            if arrival is Arrival.READY:
                since = asyncio.get_running_loop().time()
                kept.ready.set()
                self._set(kept, phase=PartPhase.READY)
            code = await asyncio.shield(child.ended)
            if arrival is Arrival.READY:
                ready_s = asyncio.get_running_loop().time() - since
        kept.child = None
        ending = policy.Ending(code, ready_s, ever_ready=kept.ready.is_set(), failures=kept.failures)
        return policy.after_end(ending, self._limits)

    def _break(self, kept: _Kept, reason: str) -> None:
        self._set(kept, phase=PartPhase.STOPPED, process=None, last_end=reason)
        if not self._broken.done() and not kept.part.elastic:
            log = self._directory.log(kept.part.name)
            last = next((line.strip() for line in reversed(logfiles.last_lines(log, LOG_TAIL)) if line.strip()), "")
            hint = f"its log is {log}" + (f" and ends with:\n{last[:MAX_LOG_LINE]}" if last else "")
            self._broken.set_exception(PartFailed(f"{kept.part.name} did not become ready: {reason}", hint=hint))

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self._broken.done():
            self._broken.set_exception(error)

    def _first_record(self, part: Part) -> PartRecord:
        return PartRecord(
            name=part.name,
            phase=PartPhase.WAITING,
            port=part.port,
            log=str(self._directory.log(part.name)),
            stop_signal=part.program.stop_signal,
            stop_rank=part.stop_rank,
            embedded=part.embedded,
            since=state.now(),
        )

    def _set(self, kept: _Kept, **changes: object) -> None:
        if changes.get("phase", kept.record.phase) is not kept.record.phase:
            changes["since"] = state.now()
        kept.record = kept.record.model_copy(update=changes)
        self._publish()

    def _publish(self) -> None:
        self._state = self._state.model_copy(update={"parts": tuple(kept.record for kept in self._kept.values())})
        try:
            self._directory.write(self._state)
        except OSError as error:
            if self._state.phase is Phase.STARTING:
                raise
            # What runs goes on without its state file; the next change tries again.
            note = f"{self._directory.file} cannot be written: {error.strerror}"
            notes = (*(known for known in self._state.notes if known != note), note)
            self._state = self._state.model_copy(update={"notes": notes})
        self._on_change(self._state)
