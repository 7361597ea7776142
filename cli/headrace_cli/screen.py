"""Puts pieces on the terminal: a run's text on standard output, everything else on standard error.

So `headrace chat QUESTION > file` writes the answer alone.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from rich.console import Console
from rich.markup import escape

from headrace_cli.client import Event
from headrace_cli.render import show
from headrace_cli.view import Kind, Piece, View

_MARKS = {
    Kind.STAGE: "[cyan]▸ {}[/]",
    Kind.DONE: "[green]✓[/] [dim]{}[/]",
    Kind.CUT: "[red]✗[/] [dim]{}[/]",
    Kind.GAP: "[yellow]![/] {}",
    Kind.NOTE: "[dim]· {}[/]",
    Kind.ASK: "[bold yellow]?[/] {}",
    Kind.ERROR: "[bold red]✗[/] {}",
}


class Screen:
    """Two consoles that know whether the cursor is inside a line, and whether they share it.

    Texts that go to a file of their own are not broken by what is told meanwhile.
    """

    def __init__(self, *, out: Console | None = None, err: Console | None = None, texts: bool = True) -> None:
        self.out = out or Console(highlight=False, soft_wrap=True)
        self.err = err or Console(stderr=True, highlight=False, soft_wrap=True)
        self._texts = texts
        self._inside_line = False
        self._one_place = _are_one_place(self.out, self.err)

    def piece(self, piece: Piece) -> None:
        """Show one piece; texts only when they are wanted."""
        if piece.kind is Kind.TEXT and not self._texts:
            return
        if piece.kind is Kind.TEXT:
            self.out.out(piece.text, end="", highlight=False)
            self.out.file.flush()
            self._inside_line = not piece.text.endswith("\n")
            return
        self.line(_MARKS[piece.kind].format(escape(piece.text)))

    def line(self, markup: str) -> None:
        """Show a line of rich markup beside the text."""
        if self._one_place:
            self.end_line()
        self.err.print(markup)

    def end_line(self) -> None:
        """Go to the beginning of a line."""
        if self._inside_line:
            self.out.print()
            self._inside_line = False

    async def follow(
        self, events: AsyncGenerator[Event, None], *, on_view: Callable[[View], None] = lambda _: None
    ) -> View:
        """Show a run's events to their end and return what was seen; `on_view` is told after each."""
        view = View()
        loop = asyncio.get_running_loop()
        try:
            async with aclosing(events):
                async for event in events:
                    view, pieces = show(event.data, view, now_s=loop.time())
                    on_view(view)
                    for piece in pieces:
                        self.piece(piece)
        finally:
            self.end_line()
        return view


def _are_one_place(out: Console, err: Console) -> bool:
    """Whether two consoles write to one terminal, or to one file."""
    try:
        return os.path.sameopenfile(out.file.fileno(), err.file.fileno())
    except (OSError, ValueError):  # not files of the system
        return out.file is err.file
