"""`headrace up`: everything on this machine, then one question."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from headrace_cli import connection
from headrace_cli.client import EdgeClient
from headrace_cli.embedded import simulator
from headrace_cli.errors import AlreadyUp, CliError, PartFailed
from headrace_cli.progress import Progress
from headrace_cli.screen import Screen
from headrace_cli.settings import CliSettings
from headrace_cli.supervisor import (
    autoscale_settings,
    launch,
    leftovers,
    logfiles,
    models,
    probe,
    signals,
    state,
    tools_files,
)
from headrace_cli.supervisor.state import Phase, State, StateDir

QUESTION = "In one sentence, what does a water mill do?"
"""Clear to the router by words and by meaning, so that no model is asked for its intent: a small one may get it wrong."""
QUESTION_S = 120.0
"""Longest that the first answer may take before it is left alone."""
POLL_S = 0.1
"""How often the state file of a start in the background is read."""
DETACHED_READY_S = 180.0


def up(
    port: Annotated[
        int, typer.Option(help="Port of the edge; another is chosen when it is taken.", min=1, max=65535)
    ] = 8080,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when everything is ready.")] = False,
    executors: Annotated[
        int, typer.Option(help="Executor processes; with --autoscale the fewest.", min=1, max=launch.MAX_EXECUTORS)
    ] = 1,
    autoscale: Annotated[
        bool, typer.Option("--autoscale", help="As many executors as the queue needs and the quota can feed.")
    ] = False,
    executors_max: Annotated[
        int | None,
        typer.Option(
            help=f"The most with --autoscale; {launch.USUAL_EXECUTORS_MAX} when not said.", min=1, max=launch.MAX_EXECUTORS
        ),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A LiteLLM model instead of the local one, such as dashscope/qwen-max with DASHSCOPE_API_KEY set, or"
            " ollama/llama3. Again for more; the first is the default. `simulated` is one to test against, without a key.",
            rich_help_panel="Models",
        ),
    ] = None,
    rpm: Annotated[
        float | None,
        typer.Option(
            metavar="RPM",
            help=f"Requests a minute that the provider grants. Without it a remote one gets {models.CAREFUL_RPM:g} calls a"
            f" minute, and step by step more, as far as it grants them; `simulated` grants {simulator.DEFAULT_RPM:g}.",
            min=1,
            max=simulator.MAX_RPM,
            rich_help_panel="Models",
        ),
    ] = None,
    models_file: Annotated[
        Path | None,
        typer.Option(
            "--models", metavar="FILE", help="A models.yaml instead of the local model.", rich_help_panel="Models"
        ),
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option(
            "--tools",
            metavar="FILE",
            help="A tools.yaml: connectors whose tools blueprints and models may call. The variables that it names as"
            " secrets are those of this command.",
        ),
    ] = None,
    question: Annotated[bool, typer.Option(help="Ask one question when everything is ready.")] = True,
) -> None:
    """Start everything on this machine and ask one question. Ctrl-C stops it.

    Postgres, Valkey and a small real model come from wheels: no key, container or network is needed.
    """
    directory = connection.state_dir()
    _refuse_second(directory)
    most = _executors_max(executors, executors_max, autoscale=autoscale)
    tools_file = tools_files.checked(tools, os.environ) if tools is not None else None
    wish = launch.Wish(port, executors, _registry(provider or [], models_file, rpm), most, tools_file)
    asked = QUESTION if question else ""
    if detach:
        asyncio.run(_in_background(directory, wish, asked))
    else:
        asyncio.run(_in_foreground(directory, wish, asked))


def _executors_max(executors: int, most: int | None, *, autoscale: bool) -> int | None:
    if not autoscale:
        if most is not None:
            raise CliError("--executors-max is for --autoscale", hint="--executors sets a number that stays")
        return None
    autoscale_settings.checked()
    most = max(executors, launch.USUAL_EXECUTORS_MAX) if most is None else most
    if most < executors:
        raise CliError(f"--executors-max {most} is less than --executors {executors}")
    return most


def _refuse_second(directory: StateDir) -> None:
    last = directory.read()
    if last is not None and state.alive(last.supervisor) is not None:
        raise AlreadyUp(
            f"Headrace is already up at {last.url} (pid {last.supervisor.pid})",
            hint="`headrace status` shows it, `headrace down` stops it",
        )


def _registry(names: list[str], file: Path | None, rpm: float | None) -> models.Source:
    if rpm is not None and not names:
        raise CliError("--rpm is the quota of a --provider", hint="name one, or write limits.rpm into the file of --models")
    if names and file is not None:
        raise CliError("--provider and --models exclude each other", hint="name the models in the file")
    if file is not None:
        return models.of_file(file)
    if not names:
        return models.LOCAL
    if names == [simulator.NAME]:
        return models.simulated(rpm or simulator.DEFAULT_RPM)
    if simulator.NAME in names:
        raise CliError(
            "the simulated provider stands alone",
            hint="run `python -m headrace_simulator` and name it in a models.yaml to mix it with others",
        )
    source = models.of_names(names, rpm=rpm)
    Screen().line(f"[dim]asking {escape(', '.join(names))} whether the key is right…[/]")
    probe.check(source)
    return source


async def _in_foreground(directory: StateDir, wish: launch.Wish, question: str) -> None:
    screen = Screen()
    progress = Progress(screen.err)
    asked = signals.install()
    ready = asyncio.Event()

    def changed(now: State) -> None:
        progress.update(now)
        if now.phase is Phase.READY:
            ready.set()

    running = asyncio.create_task(launch.run(directory, wish, asked, on_change=changed), name="supervisor")
    greeting = asyncio.create_task(_greet_when_ready(ready, directory, question, screen), name="greeting")
    stopping = asyncio.create_task(asked.stop.wait(), name="stopping")
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        greeting.cancel()
        stopping.cancel()
        (greeted,) = await asyncio.gather(greeting, return_exceptions=True)
        try:
            await running
        finally:
            progress.close()
            screen.end_line()
        if isinstance(greeted, Exception):
            raise greeted


async def _greet_when_ready(ready: asyncio.Event, directory: StateDir, question: str, screen: Screen) -> None:
    await ready.wait()
    last = directory.read()
    assert last is not None
    await _greet(last.url, question, screen)
    screen.line("[dim]Ctrl-C stops everything.[/]")


async def _greet(url: str, question: str, screen: Screen) -> None:
    """Ask the question, and say how to go on."""
    if question:
        await _ask(url, question, screen)
    body = '\'{"message": "hello"}\''
    screen.line("")
    screen.line(f"[bold green]Headrace is up:[/] [bold]{escape(url)}[/]  [dim](API: {escape(url)}/docs)[/]")
    screen.line(f"  curl -N {escape(url)}/api/conversation/stream -H 'content-type: application/json' -d {escape(body)}")
    screen.line("  headrace chat")


async def _ask(url: str, question: str, screen: Screen) -> None:
    screen.line(f"[bold]>[/] {escape(question)}")
    key = CliSettings().api_key.get_secret_value()
    try:
        async with EdgeClient(url, api_key=key) as edge, asyncio.timeout(QUESTION_S):
            await screen.follow(edge.start("/api/conversation/stream", {"message": question}))
    except TimeoutError:
        screen.line(f"[red]✗[/] no answer within {QUESTION_S:g} s; `headrace logs executor` may say why")
    except CliError as error:  # what is up stays up
        screen.line(f"[red]✗[/] {escape(str(error))} [dim]{escape(error.hint)}[/]")


async def _in_background(directory: StateDir, wish: launch.Wish, question: str) -> None:
    directory.make()
    screen = Screen()
    progress = Progress(screen.err)
    child = _spawn(directory, wish)
    try:
        async with asyncio.timeout(DETACHED_READY_S):
            url = await _follow_start(directory, child, progress)
    except BaseException as error:
        await asyncio.to_thread(_end, child)  # what nobody waits for any more must not go on starting
        if isinstance(error, TimeoutError):
            raise PartFailed("it did not become ready in time", hint="`headrace logs` shows why") from error
        raise
    finally:
        progress.close()
    await _greet(url, question, screen)
    screen.line("  headrace down")


def _spawn(directory: StateDir, wish: launch.Wish) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "headrace_cli.supervisor", "--home", str(directory.home)]
    command += ["--port", str(wish.port), "--executors", str(wish.executors)]
    if wish.executors_max is not None:
        command += ["--executors-max", str(wish.executors_max)]
    if wish.tools_file is not None:
        command += ["--tools", str(wish.tools_file)]
    if wish.registry.simulated_rpm is not None:
        command += ["--simulated-rpm", f"{wish.registry.simulated_rpm:g}"]
    elif not wish.registry.local:
        wanted = directory.home / "models.wanted.yaml"
        models.write(wish.registry, wanted, local_url="")
        command += ["--models", str(wanted), *(f"--model={name}" for name in wish.registry.names)]
    with directory.log("supervisor").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(leftovers.SUPERVISOR_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()


async def _follow_start(directory: StateDir, child: "subprocess.Popen[bytes]", progress: Progress) -> str:
    shown: State | None = None
    while True:
        ended = child.poll() is not None
        now = directory.read()
        if now is not None and now.supervisor.pid == child.pid:
            if now != shown:
                progress.update(now)
                shown = now
            if now.phase is Phase.READY:
                return now.url
        if ended:
            error = now.error if now is not None and now.supervisor.pid == child.pid else ""
            last = logfiles.last_lines(directory.log("supervisor"), 1)
            message = error or (last[0] if last else "the supervisor ended")
            raise PartFailed(message, hint=(now.hint if error and now else f"its log is {directory.log('supervisor')}"))
        await asyncio.sleep(POLL_S)
