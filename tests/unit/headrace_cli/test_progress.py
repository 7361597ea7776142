"""The lines of a start."""

import io

from headrace_cli.progress import Progress, changes
from headrace_cli.supervisor.state import Identity, PartPhase, PartRecord, Phase, State
from rich.console import Console
from rich.text import Text


def _part(phase: PartPhase, **fields: object) -> PartRecord:
    base = PartRecord(name="rag", phase=phase, port=7, log="", stop_signal=15, stop_rank=2, embedded=False, since=100.0)
    return base.model_copy(update=fields)


def _state(*parts: PartRecord, phase: Phase = Phase.STARTING, notes: tuple[str, ...] = ()) -> State:
    own = Identity(pid=1, started_s=0.0)
    return State(phase=phase, supervisor=own, url="http://x", notes=notes, parts=parts)


def _lines(last: State | None, state: State) -> list[str]:
    return [Text.from_markup(line).plain for line in changes(last, state, seconds=1.5)]


def test_a_part_gets_its_line_when_it_is_ready_and_no_second_one() -> None:
    starting, ready = _state(_part(PartPhase.STARTING)), _state(_part(PartPhase.READY))

    assert _lines(None, starting) == []
    assert _lines(starting, ready) == ["✓ rag          ready on port 7, 1.5 s"]
    assert _lines(ready, ready) == []


def test_a_crash_says_how_it_ended_and_when_it_comes_back() -> None:
    crashed = _part(PartPhase.BACK_OFF, restarts=1, last_end="it ended by signal 9", next_start=100.2)

    assert _lines(_state(_part(PartPhase.READY)), _state(crashed)) == [
        "! rag          it ended by signal 9; starting it again in 0.2 s"
    ]
    again = _part(PartPhase.READY, restarts=1)
    assert "ready again" in _lines(_state(_part(PartPhase.STARTING, restarts=1)), _state(again))[0]


def test_a_taken_port_is_said_once() -> None:
    told = _state(notes=("port 8080 is taken",))

    assert _lines(None, told) == ["! port 8080 is taken"]
    assert _lines(told, told) == []


def test_without_a_terminal_lines_are_plain() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    progress = Progress(console, clock=lambda: 0.0)

    progress.update(_state(_part(PartPhase.STARTING)))
    progress.update(_state(_part(PartPhase.READY), phase=Phase.READY))
    progress.close()

    written = console.file
    assert isinstance(written, io.StringIO)
    assert written.getvalue() == "✓ rag          ready on port 7, 0.0 s\n"
