"""`headrace down`: stops what `headrace up` started, also what a killed one left behind."""

from rich.markup import escape

from headrace_cli import connection
from headrace_cli.screen import Screen
from headrace_cli.supervisor import leftovers
from headrace_cli.supervisor.state import Phase


def down() -> None:
    """Stop everything that `headrace up` started. Data and logs stay."""
    screen = Screen()
    directory = connection.state_dir()
    last = directory.read()
    if last is None:
        screen.line("[dim]nothing is up here[/]")
        return
    stopped = leftovers.end_supervisor(last.supervisor)
    now = directory.read() or last
    left = leftovers.end_parts(now)
    if now.phase is not Phase.FAILED:
        parts = tuple(part.model_copy(update={"process": None}) for part in now.parts)
        directory.write(now.model_copy(update={"phase": Phase.STOPPED, "parts": parts}))
    if left:
        screen.line(f"[green]✓[/] ended what was left behind: {escape(', '.join(left))}")
    screen.line("[green]✓[/] stopped" if stopped or left else "[dim]nothing is up here[/]")
