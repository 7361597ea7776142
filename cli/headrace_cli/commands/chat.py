"""`headrace chat`: one question, or a conversation."""

import asyncio
import contextlib
import dataclasses
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory
from rich.markup import escape

from headrace_cli import connection
from headrace_cli.client import EdgeClient
from headrace_cli.errors import CliError
from headrace_cli.render import View, result_text
from headrace_cli.screen import Screen

PATH = "/api/conversation/stream"
HELP = "/mode auto|chat|qa|build|quiz   /model ID   /workspace NAME   /new (another session)   /quit"
_EXIT_CODES = {"error": 1, "cancelled": 130}
"""Of one question; a shell's 130 says that Ctrl-C ended it."""


class Mode(StrEnum):
    """What the message asks for; auto lets the router decide."""

    AUTO = "auto"
    CHAT = "chat"
    QA = "qa"
    BUILD = "build"
    QUIZ = "quiz"


@dataclass(frozen=True, slots=True)
class Talk:
    """What goes with each message."""

    mode: Mode = Mode.AUTO
    session: str = ""
    workspace: str = ""
    model: str = ""

    def body(self, message: str) -> dict[str, Any]:
        """The request's body."""
        given = {"session_id": self.session, "workspace": self.workspace, "model": self.model}
        return {"message": message, "mode": self.mode.value, **{name: value for name, value in given.items() if value}}


def chat(
    message: Annotated[
        str, typer.Argument(help="One question; a conversation when not given. - reads standard input.")
    ] = "",
    mode: Annotated[Mode, typer.Option(help="What is asked for; auto lets the router decide.")] = Mode.AUTO,
    session: Annotated[str, typer.Option(help="Go on with this session.")] = "",
    workspace: Annotated[str, typer.Option(help="Whose documents are searched.")] = "",
    model: Annotated[str, typer.Option(help="A model's id; the default one when not given.")] = "",
) -> None:
    """Ask, and watch the answer arrive: its stages on standard error, its text on standard output."""
    talk = Talk(mode, session, workspace, model)
    if message == "-" or (not message and not sys.stdin.isatty()):
        message = sys.stdin.read().strip()
        if not message:
            raise CliError("no question on standard input", hint='headrace chat "QUESTION"')
    ended = asyncio.run(_once(talk, message) if message else _conversation(talk))
    if ended in _EXIT_CODES:
        raise typer.Exit(_EXIT_CODES[ended])


async def _once(talk: Talk, message: str) -> str:
    async with connection.connect() as edge:
        view = await _ask(edge, Screen(), talk, message)
    return view.outcome


async def _conversation(talk: Talk) -> str:
    directory = connection.state_dir()
    directory.make()
    prompt: PromptSession[str] = PromptSession(history=FileHistory(str(directory.home / "chat_history")))
    screen = Screen()
    screen.line(f"[dim]{escape(HELP)}; Ctrl-C stops an answer, Ctrl-D ends[/]")
    async with connection.connect() as edge:
        while True:
            try:
                line = (await prompt.prompt_async("> ")).strip()
            except EOFError:
                return ""
            except KeyboardInterrupt:
                continue
            if line in ("/quit", "/exit"):
                return ""
            if line.startswith("/") and (changed := command(talk, line)) is not None:
                talk, answer = changed
                screen.line(f"[dim]{escape(answer)}[/]")
            elif line:
                talk = await _turn(edge, screen, talk, line)


async def _turn(edge: EdgeClient, screen: Screen, talk: Talk, message: str) -> Talk:
    try:
        view = await _ask(edge, screen, talk, message)
    except CliError as error:
        screen.line(f"[red]✗[/] {escape(str(error))} [dim]{escape(error.hint)}[/]")
        return talk
    return dataclasses.replace(talk, session=view.session_id or talk.session)


def command(talk: Talk, line: str) -> tuple[Talk, str] | None:
    """Apply a line such as `/mode qa`: the talk after it and what to say. None when it is not a command of ours."""
    word, _, value = line.partition(" ")
    value = value.strip()
    if word == "/help":
        return talk, HELP
    if word == "/new":
        return dataclasses.replace(talk, session=""), "a new session"
    if word == "/mode":
        if value not in list(Mode):
            return talk, f"modes: {', '.join(Mode)}"
        return dataclasses.replace(talk, mode=Mode(value)), f"mode {value}"
    if word == "/model":
        return dataclasses.replace(talk, model=value), f"model {value or 'by default'}"
    if word == "/workspace":
        return dataclasses.replace(talk, workspace=value), f"workspace {value or 'by default'}"
    return None


async def _ask(edge: EdgeClient, screen: Screen, talk: Talk, message: str) -> View:
    """Show one answer. Ctrl-C cancels the run at the edge."""
    seen = View()

    def remember(view: View) -> None:
        nonlocal seen
        seen = view

    answering = asyncio.create_task(screen.follow(edge.start(PATH, talk.body(message)), on_view=remember), name="answer")
    with _interrupts(answering):
        try:
            view = await answering
        except asyncio.CancelledError:
            if seen.run_id:
                await edge.cancel(seen.run_id)
            screen.line("[dim]· cancelled[/]")
            return dataclasses.replace(seen, outcome="cancelled")
    if view.outcome == "success" and not view.said and view.result is not None:
        screen.out.out(result_text(view.result), highlight=False)
    return view


@contextlib.contextmanager
def _interrupts(task: asyncio.Task[View]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
