"""Drives the number of executor processes by the operator's own policy. Who goes finishes its runs or hands them back."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as pb_grpc
from headrace_operator.model import Decision, Memory, Observed, Spec
from headrace_operator.policy import decide
from headrace_operator.signals import from_responses
from headrace_runtime import channels, errors

from headrace_cli.supervisor.plan import Part
from headrace_cli.supervisor.ports import HOST
from headrace_cli.supervisor.state import PartPhase, PartRecord, ScaleRecord
from headrace_cli.supervisor.supervise import Supervisor

SIGNALS_TIMEOUT_S = 2.0
"""Longest wait for one executor's signals."""
CRASHES = 3
"""A process that was restarted as often and is down again counts as one that cannot be had."""

Answers = Mapping[str, pb.QueueSignalsResponse]


class Autoscaler:
    """Owns which of `executors` run. The first `spec.min_replicas` of them do when it begins."""

    def __init__(
        self,
        supervisor: Supervisor,
        executors: Sequence[Part],
        spec: Spec,
        hurry: asyncio.Event,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._supervisor = supervisor
        self._parts = {part.name: replace(part, elastic=True) for part in executors}
        self._spec = spec
        self._hurry = hurry
        self._clock = clock
        self._memory = Memory()
        self._leaving: dict[str, asyncio.Task[None]] = {}

    async def run(self, interval_s: float) -> None:
        """Decide again and again until cancelled."""
        try:
            while True:
                await self.tick()
                await asyncio.sleep(interval_s)
        finally:
            for task in self._leaving.values():
                task.cancel()
            await asyncio.gather(*self._leaving.values(), return_exceptions=True)

    async def tick(self) -> Decision:
        """Look once, decide, and begin what follows from it."""
        self._leaving = {name: task for name, task in self._leaving.items() if not _ended(task)}
        present = self._present()
        ready = [one for one in present if one.phase is PartPhase.READY]
        answers = await _ask_all(ready)
        refused = [one for one in present if _refused(one)]
        observed = Observed(len(present), len(ready), len(refused), "; ".join(sorted({one.last_end for one in refused})))
        decision = decide(self._spec, observed, from_responses(answers.values()), self._memory, self._clock())
        self._memory = decision.memory
        self._tell(decision)
        free = [part for name, part in self._parts.items() if name not in {one.name for one in self._records()}]
        self._supervisor.add(tuple(free[: max(0, decision.replicas - len(present))]))
        for name in _victims(present, answers)[: max(0, len(present) - decision.replicas)]:
            self._leaving[name] = asyncio.create_task(self._supervisor.remove(name, self._hurry), name=f"remove {name}")
        return decision

    def _records(self) -> list[PartRecord]:
        return [one for one in self._supervisor.state.parts if one.name in self._parts]

    def _present(self) -> list[PartRecord]:
        return [one for one in self._records() if one.name not in self._leaving]

    def _tell(self, decision: Decision) -> None:
        last = self._supervisor.state.scale
        changed = last is None or last.replicas != decision.replicas
        self._supervisor.tell_scale(
            ScaleRecord(
                replicas=decision.replicas,
                min_replicas=self._spec.min_replicas,
                max_replicas=self._spec.max_replicas,
                limited_by=decision.limited_by.value,
                message=decision.message,
                since=self._clock() if changed or last is None else last.since,
            )
        )


def _ended(task: "asyncio.Task[None]") -> bool:
    """Whether it has; what went wrong in it goes to whoever asked."""
    if task.done():
        task.result()
    return task.done()


def _refused(one: PartRecord) -> bool:
    """Whether a process cannot be had: it was given up before it was ready, or crashes again and again."""
    return one.phase is PartPhase.STOPPED or (one.phase is PartPhase.BACK_OFF and one.restarts >= CRASHES)


def _victims(present: Sequence[PartRecord], answers: Answers) -> list[str]:
    """In the order in which they would go: what does not run, then the idlest, then the last."""

    def worth(place: int) -> tuple[bool, bool, int, int]:
        one = present[place]
        busy = answers[one.name].running_here if one.name in answers else 0
        return (not _refused(one), one.phase is PartPhase.READY, busy, -place)

    return [present[place].name for place in sorted(range(len(present)), key=worth)]


async def _ask_all(ready: Sequence[PartRecord]) -> Answers:
    answers = await asyncio.gather(*(_ask(one.port) for one in ready))
    return {one.name: answer for one, answer in zip(ready, answers, strict=True) if answer is not None}


async def _ask(port: int) -> pb.QueueSignalsResponse | None:
    """One executor's signals; None when it does not answer in time."""
    async with channels.open_channel(f"{HOST}:{port}") as channel:
        stub: pb_grpc.ExecutorServiceAsyncStub = pb_grpc.ExecutorServiceStub(channel)
        try:
            return await channels.unary(stub.QueueSignals, pb.QueueSignalsRequest(), timeout_s=SIGNALS_TIMEOUT_S)
        except errors.ServiceError:
            return None
