"""Shows a start: a line for each part until it is ready, and later what crashes and comes back.

On a terminal the parts that are not ready yet are drawn below with a spinner; elsewhere each event is one plain line.
"""

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.text import Text

from headrace_cli.supervisor.state import PartPhase, PartRecord, Phase, ScaleRecord, State

_NAME_WIDTH = 12


class Progress:
    """Takes each state of a start as it comes."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._last: State | None = None
        self._live: Live | None = None

    def update(self, state: State) -> None:
        """Show what has changed."""
        last = self._last
        self._last = state
        for line in changes(last, state, seconds=self._clock() - self._began):
            self._console.print(line)
        if not self._console.is_terminal:
            return
        if state.phase is Phase.STARTING:
            self._draw(state)
        else:
            self.close()

    def close(self) -> None:
        """Leave only the lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, state: State) -> None:
        if self._live is None:
            self._live = Live(console=self._console, transient=True, refresh_per_second=10)
            self._live.start()
        pending = [part for part in state.parts if part.phase is not PartPhase.READY]
        self._live.update(Group(*(Spinner("dots", Text(f"{part.name:<{_NAME_WIDTH}} {_doing(part)}")) for part in pending)))


def changes(last: State | None, state: State, *, seconds: float) -> list[str]:
    """The lines of rich markup that tell how `state` differs from the one before. Pure."""
    lines = [f"[yellow]![/] {escape(note)}" for note in state.notes if last is None or note not in last.notes]
    before = {part.name: part for part in last.parts} if last is not None else {}
    for part in state.parts:
        lines += _part_lines(before.get(part.name), part, seconds=seconds)
    lines += [f"[cyan]↕[/] {escape(line)}" for line in scale_lines(last.scale if last is not None else None, state.scale)]
    if state.phase is Phase.STOPPING and (last is None or last.phase is not Phase.STOPPING):
        lines.append("[dim]stopping…[/]")
    return lines


def scale_lines(last: ScaleRecord | None, scale: ScaleRecord | None) -> list[str]:
    """A line with the numbers when the number of executors changes, or what limits it. Plain text."""
    if scale is None or (last is not None and (last.replicas, last.limited_by) == (scale.replicas, scale.limited_by)):
        return []
    was = f"{last.replicas} → " if last is not None and last.replicas != scale.replicas else ""
    return [f"executors {was}{scale.replicas}, limited by {scale.limited_by}: {scale.message}"]


def _part_lines(before: PartRecord | None, part: PartRecord, *, seconds: float) -> list[str]:
    if before is not None and before.phase is part.phase and before.restarts == part.restarts:
        return []
    name = f"{escape(part.name):<{_NAME_WIDTH}}"
    if part.phase is PartPhase.READY:
        again = " again" if part.restarts else ""
        return [f"[green]✓[/] {name} [dim]ready{again} on port {part.port}, {seconds:.1f} s[/]"]
    if part.phase is PartPhase.BACK_OFF and part.next_start is not None:
        wait = max(0.0, part.next_start - part.since)
        return [f"[yellow]![/] {name} {escape(part.last_end)}; starting it again in {wait:.1f} s"]
    return []


def _doing(part: PartRecord) -> str:
    return {PartPhase.WAITING: "waits for its needs", PartPhase.BACK_OFF: part.last_end}.get(part.phase, part.phase.value)
