"""The supervisor over small real child processes: crashes, restarts, stop order, and what a killed one leaves behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from headrace_cli.embedded.program import Program
from headrace_cli.errors import PartFailed
from headrace_cli.supervisor import leftovers, logfiles, state
from headrace_cli.supervisor.plan import Part
from headrace_cli.supervisor.policy import BackOff
from headrace_cli.supervisor.state import PartPhase, PartRecord, Phase, State, StateDir
from headrace_cli.supervisor.supervise import Supervisor

FAST = BackOff(first_s=0.05, max_s=0.4, stable_s=60.0)
WAIT_S = 20.0

SERVE = """
import pathlib, signal, sys, time
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
def stop(*_):
    with (folder / "stopped").open("a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(name, "runs", flush=True)
(folder / (name + ".ready")).touch()
while True:
    time.sleep(60)
"""
STUBBORN = """
import pathlib, signal, subprocess, sys, time
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(folder / (name + ".child")).write_text(str(child.pid))
(folder / (name + ".ready")).touch()
time.sleep(600)
"""


class Stage:
    """A state dir and the parts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = StateDir(folder / "home")
        self.directory.make()
        self.seen: list[State] = []

    def part(
        self,
        name: str,
        script: str = SERVE,
        *,
        needs: tuple[str, ...] = (),
        rank: int = 0,
        stop_s: float = 5.0,
        ready_s: float = 15,
    ) -> Part:
        program = Program(
            name,
            (sys.executable, "-c", script, name, str(self.folder)),
            (self.folder / f"{name}.ready").exists,
            ready_s=ready_s,
        )
        return Part(program, port=0, needs=needs, stop_rank=rank, stop_s=stop_s)

    def supervisor(self) -> Supervisor:
        own = state.identify(os.getpid())
        assert own is not None
        initial = State(phase=Phase.STARTING, supervisor=own, url="")
        return Supervisor(self.directory, initial, on_change=self.seen.append, limits=FAST)

    def record(self, name: str) -> PartRecord:
        return next(part for part in self.seen[-1].parts if part.name == name)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def _stop(supervisor: Supervisor) -> None:
    async with asyncio.timeout(WAIT_S):
        await supervisor.stop(asyncio.Event())


async def _ready(supervisor: Supervisor) -> None:
    async with asyncio.timeout(WAIT_S):
        await supervisor.all_ready()


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_part_starts_when_its_needs_are_ready_and_stops_in_its_turn(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("edge", rank=0), stage.part("app", needs=("store",), rank=1), stage.part("store", rank=2)))

    await _ready(supervisor)
    readied = [
        next(i for i, seen in enumerate(stage.seen) if _phase(seen, name) is PartPhase.READY) for name in ("store", "app")
    ]
    spawned = next(i for i, seen in enumerate(stage.seen) if _phase(seen, "app") is PartPhase.STARTING)
    await _stop(supervisor)

    assert readied[0] <= spawned < readied[1]
    assert (stage.folder / "stopped").read_text().split() == ["edge", "app", "store"]
    assert stage.seen[-1].phase is Phase.STOPPED
    assert all(part.process is None for part in stage.seen[-1].parts)


def _phase(seen: State, name: str) -> PartPhase | None:
    return next((part.phase for part in seen.parts if part.name == name), None)


async def test_a_killed_part_comes_back_and_there_are_never_two(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("app"),))
    await _ready(supervisor)
    pids = []
    for restarts in (1, 2, 3):
        first = stage.record("app").process
        assert first is not None
        pids.append(first.pid)
        os.kill(first.pid, signal.SIGKILL)
        await _until(partial(_is_ready_again, stage, restarts))
        marked = [p for p in psutil.Process().children() if str(stage.folder) in " ".join(_cmdline(p))]
        assert len(marked) == 1
    waits = [
        part.next_start - part.since
        for seen in _distinct(stage.seen)
        for part in seen.parts
        if part.phase is PartPhase.BACK_OFF and part.next_start is not None
    ]
    record = stage.record("app")
    await _stop(supervisor)

    assert len(set(pids)) == 3
    assert record.last_end == "it ended by signal 9"
    assert waits == pytest.approx([0.05, 0.1, 0.2], abs=0.02)


def _is_ready_again(stage: Stage, restarts: int) -> bool:
    record = stage.record("app")
    return record.restarts == restarts and record.phase is PartPhase.READY


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _distinct(seen: list[State]) -> list[State]:
    return [now for now, before in zip(seen[1:], seen, strict=False) if now.parts != before.parts]


async def test_a_part_that_never_becomes_ready_is_one_line_that_names_its_log(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("app", "print('no such table'); raise SystemExit(7)"), stage.part("store")))

    with pytest.raises(PartFailed, match="app did not become ready: it ended with code 7, 3 times") as caught:
        await _ready(supervisor)
    await _stop(supervisor)

    log = stage.directory.log("app")
    assert str(log) in caught.value.hint
    assert logfiles.last_lines(log, 10) == ["no such table"] * 3


async def test_a_part_that_hangs_while_starting_is_killed_and_given_up(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("app", "import time; time.sleep(600)", ready_s=0.5),))

    with pytest.raises(PartFailed, match="it was not ready in time"):
        await _ready(supervisor)
    pids = {part.process.pid for seen in stage.seen for part in seen.parts if part.process is not None}
    await _stop(supervisor)

    assert all(_gone(pid) for pid in pids)


async def test_wrong_settings_are_not_tried_again(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("app", "raise SystemExit(2)"),))

    with pytest.raises(PartFailed, match="its settings are wrong"):
        await _ready(supervisor)
    await _stop(supervisor)

    assert stage.record("app").restarts == 0


async def test_a_program_that_is_not_there_is_one_line(stage: Stage) -> None:
    supervisor = stage.supervisor()
    missing = Program("app", ("/no/such/program",), lambda: True)
    supervisor.add((Part(missing, port=0, needs=(), stop_rank=0),))

    with pytest.raises(PartFailed, match="could not be started"):
        await _ready(supervisor)
    await _stop(supervisor)


async def test_a_part_that_ignores_its_stop_signal_is_killed_with_its_children(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("app", STUBBORN, stop_s=0.3),))
    await _ready(supervisor)
    parent = stage.record("app").process
    assert parent is not None
    child = int((stage.folder / "app.child").read_text())

    await _stop(supervisor)

    await _until(lambda: _gone(parent.pid) and _gone(child))


async def test_the_second_request_to_stop_waits_for_nothing(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("app", STUBBORN, stop_s=600.0),))
    await _ready(supervisor)
    hurry = asyncio.Event()
    hurry.set()

    async with asyncio.timeout(WAIT_S):
        await supervisor.stop(hurry)

    assert stage.record("app").phase is PartPhase.STOPPED


async def test_what_a_killed_supervisor_left_is_ended_in_order_and_nothing_else(stage: Stage) -> None:
    script = stage.folder / "supervise.py"
    script.write_text(_SUPERVISE.format(folder=str(stage.folder), serve=SERVE))
    with subprocess.Popen([sys.executable, str(script)]) as killed:
        await _until(lambda: (last := stage.directory.read()) is not None and last.phase is Phase.READY)
        killed.kill()
    last = stage.directory.read()
    assert last is not None
    survivors = [part.process for part in leftovers.survivors(last)]
    # The third entry names a live pid that is not the process it was: ours.
    own = state.identify(os.getpid())
    assert own is not None
    foreign = last.parts[0].model_copy(
        update={"name": "foreign", "process": own.model_copy(update={"started_s": own.started_s - 100})}
    )
    last = last.model_copy(update={"parts": (*last.parts, foreign)})

    ended = await asyncio.to_thread(leftovers.end_parts, last)

    assert len(survivors) == 2
    assert ended == ("app", "store")
    assert (stage.folder / "stopped").read_text().split() == ["app", "store"]
    assert all(_gone(one.pid) for one in survivors if one is not None)
    assert not await asyncio.to_thread(leftovers.end_parts, last)


_SUPERVISE = """
import asyncio, os, sys
from pathlib import Path
from headrace_cli.embedded.program import Program
from headrace_cli.supervisor import state
from headrace_cli.supervisor.plan import Part
from headrace_cli.supervisor.state import Phase, State, StateDir
from headrace_cli.supervisor.supervise import Supervisor
folder = Path({folder!r})
def part(name, rank):
    argv = (sys.executable, "-c", {serve!r}, name, str(folder))
    return Part(Program(name, argv, (folder / (name + ".ready")).exists), port=0, needs=(), stop_rank=rank)
async def main():
    initial = State(phase=Phase.STARTING, supervisor=state.identify(os.getpid()), url="")
    supervisor = Supervisor(StateDir(folder / "home"), initial, on_change=lambda _: None)
    supervisor.add((part("store", 5), part("app", 1)))
    await supervisor.all_ready()
    await supervisor.broken()
asyncio.run(main())
"""


async def test_logs_stay_bounded_while_their_writer_goes_on(stage: Stage) -> None:
    talker = "import pathlib, sys, time\npathlib.Path(sys.argv[2], 'app.ready').touch()\n"
    talker += "while True:\n    print('x' * 99, flush=True)\n    time.sleep(0.0005)\n"
    supervisor = stage.supervisor()
    supervisor.add((stage.part("app", talker),))
    bounded = asyncio.create_task(logfiles.keep_bounded(stage.directory.logs, max_bytes=10_000, every_s=0.01))
    await _ready(supervisor)
    log = stage.directory.log("app")
    older = log.with_name("app.log.1")

    await _until(older.exists)
    await _until(lambda: log.stat().st_size > 0)
    bounded.cancel()
    await asyncio.gather(bounded, return_exceptions=True)
    await _stop(supervisor)

    assert set(logfiles.last_lines(older, 5)) == {"x" * 99}
    assert logfiles.last_lines(log, 1)[0].endswith("x")
    assert older.stat().st_size < 200_000


async def test_a_full_disk_does_not_stop_what_runs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("app"),))
    await _ready(supervisor)

    def full(_: State) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage.directory, "write", full)
    process = stage.record("app").process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    await _until(lambda: stage.record("app").restarts == 1 and stage.record("app").phase is PartPhase.READY)
    notes = stage.seen[-1].notes
    await _stop(supervisor)

    assert [note for note in notes if "No space left" in note] == list(notes) != []


async def test_a_part_that_is_removed_ends_cleanly_and_is_forgotten(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("one"), stage.part("two")))
    await _ready(supervisor)
    process = stage.record("two").process
    assert process is not None

    async with asyncio.timeout(WAIT_S):
        await supervisor.remove("two", asyncio.Event())

    assert [part.name for part in stage.seen[-1].parts] == ["one"]
    assert _gone(process.pid)
    assert (stage.folder / "stopped").read_text() == "two\n"
    (stage.folder / "two.ready").unlink()
    supervisor.add((stage.part("two"),))
    await _until(lambda: stage.record("two").phase is PartPhase.READY)
    await _stop(supervisor)


async def test_an_elastic_part_that_cannot_be_had_leaves_the_others_alone(stage: Stage) -> None:
    supervisor = stage.supervisor()
    supervisor.add((stage.part("one"),))
    await _ready(supervisor)
    supervisor.add((replace(stage.part("two", "raise SystemExit(2)"), elastic=True),))

    await _until(lambda: stage.record("two").phase is PartPhase.STOPPED)

    assert stage.record("two").last_end == "its settings are wrong"
    assert stage.seen[-1].phase is Phase.READY
    await supervisor.remove("two", asyncio.Event())
    assert [part.name for part in stage.seen[-1].parts] == ["one"]
    await _stop(supervisor)
