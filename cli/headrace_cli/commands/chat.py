"""`headrace chat`: one question, or a conversation."""

import asyncio
import dataclasses
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory
from rich.markup import escape

from headrace_cli import clarify, connection, following
from headrace_cli.client import EdgeClient
from headrace_cli.errors import CliError
from headrace_cli.render import result_text
from headrace_cli.screen import Screen
from headrace_cli.view import View

PATH = "/api/conversation/stream"
HELP = "/mode auto|chat|qa|build|quiz   /model ID   /workspace NAME   /tools NAME…   /new (another session)   /quit"
MAX_ASKED_BACK = 5
"""How often one message may be asked back about."""

Ask = Callable[[str], Awaitable[str]]
"""Reads a line from the user."""


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
    tools: tuple[str, ...] = ()

    def body(self, message: str) -> dict[str, Any]:
        """The request's body."""
        return {"message": message, **self._given()}

    def resume(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        """The body of the run that answers what the last one asked back."""
        return {"resume": entries, **self._given()}

    def _given(self) -> dict[str, Any]:
        given = {
            "session_id": self.session,
            "workspace": self.workspace,
            "model": self.model,
            "tools": list(self.tools),
        }
        return {"mode": self.mode.value, **{name: value for name, value in given.items() if value}}


def chat(
    message: Annotated[
        str, typer.Argument(help="One question; a conversation when not given. - reads standard input.")
    ] = "",
    mode: Annotated[Mode, typer.Option(help="What is asked for; auto lets the router decide.")] = Mode.AUTO,
    session: Annotated[str, typer.Option(help="Go on with this session.")] = "",
    workspace: Annotated[str, typer.Option(help="Whose documents are searched.")] = "",
    model: Annotated[str, typer.Option(help="A model's id; the default one when not given.")] = "",
    tool: Annotated[
        list[str] | None,
        typer.Option(help="A tool that the model may call (see headrace tools), CONNECTOR.* or *; may be repeated."),
    ] = None,
) -> None:
    """Ask, and watch the answer arrive: its stages on standard error, its text on standard output.

    To begin with:
      headrace chat                                     a conversation; /help
      headrace chat "What is photosynthesis?"           one question
      headrace chat --mode qa "When is homework due?"   of the documents
      headrace chat --mode build "A page about mills"   a page
      headrace chat --mode quiz "Tides, 3 questions"
      headrace chat --tool calculator "What is 6*7?"    may call a tool

    `headrace docs add` adds documents, `headrace tools` lists tools, `headrace page patch` changes a page.

    When a name in the question fits several things it asks which is meant; without a terminal it ends with exit code 4.
    """
    talk = Talk(mode, session, workspace, model, tuple(tool or ()))
    if message == "-" or (not message and not _has_terminal()):
        message = sys.stdin.read().strip()
        if not message:
            raise CliError("no question on standard input", hint='headrace chat "QUESTION"')
    ended = asyncio.run(_once(talk, message) if message else _conversation(talk))
    if ended in following.EXIT_CODES:
        raise typer.Exit(following.EXIT_CODES[ended])


async def _once(talk: Talk, message: str) -> str:
    async with connection.connect() as edge:
        screen = Screen()
        view = await _answered(edge, screen, talk, message, _typed if _has_terminal() else None)
    if view.outcome == "interrupt":
        screen.line(f"[dim]· say it in the question, or: headrace chat --session {escape(view.session_id)}[/]")
    return view.outcome


def _has_terminal() -> bool:
    return sys.stdin.isatty()


async def _typed(prompt: str) -> str:
    return await PromptSession[str]().prompt_async(prompt)


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
        view = await _answered(edge, screen, talk, message, _typed)
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
    if word == "/tools":
        names = tuple(value.replace(",", " ").split())
        return dataclasses.replace(talk, tools=names), f"tools {' '.join(names) or 'none'}"
    return None


async def _answered(edge: EdgeClient, screen: Screen, talk: Talk, message: str, ask: Ask | None) -> View:
    """Show an answer; what is asked back on the way goes to `ask`, or ends it without one."""
    view = await _ask(edge, screen, talk.body(message))
    for _ in range(MAX_ASKED_BACK):
        if view.outcome != "interrupt" or not view.interrupts or ask is None:
            break
        entries = [await _entry(screen, clarify.question(one), ask) for one in view.interrupts]
        talk = dataclasses.replace(talk, session=view.session_id or talk.session)
        view = await _ask(edge, screen, talk.resume(entries))
    return view


async def _entry(screen: Screen, question: clarify.Question, ask: Ask) -> dict[str, Any]:
    """The user's answer to one question; an empty line, Ctrl-C or Ctrl-D cancels it."""
    prompt = f"1 to {len(question.choices)}: " if question.choices else "> "
    for _ in range(MAX_ASKED_BACK):
        try:
            text = await ask(prompt)
        except (EOFError, KeyboardInterrupt):
            break
        if (entry := clarify.answer(question, text)) is not None:
            return entry
        screen.line("[dim]· a number, a name or an id; an empty line cancels[/]")
    return {"interrupt_id": question.interrupt_id, "status": "cancelled"}


async def _ask(edge: EdgeClient, screen: Screen, body: dict[str, Any]) -> View:
    """Show one answer. Ctrl-C cancels the run at the edge."""
    view = await following.follow(edge, screen, edge.start(PATH, body))
    if view.outcome == "success" and not view.said and view.result is not None:
        screen.out.out(result_text(view.result), highlight=False)
    following.name_page(screen, view)
    return view
