"""The `headrace` command: registers the commands and turns what ends one early into a line and an exit code."""

from importlib import metadata
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from headrace_cli.commands import (
    capacity,
    chat,
    docs,
    down,
    logs,
    page,
    quota,
    run,
    simulate_scaling,
    status,
    tools,
    up,
    usage,
    workflow,
)
from headrace_cli.errors import CliError

HELP = """Runs LLM agents at the pace that the provider's quota allows.

Start everything on this machine, a small real model included, and talk to it:

  headrace up                             then, in another terminal:
  headrace chat                           a conversation
  headrace chat "What is a headrace?"     one question
  headrace docs add notes.md              then: headrace chat --mode qa "…"
  headrace chat --mode build "A page…"    a page; it says its PAGE_ID
  headrace page patch PAGE_ID "shorter"   change it by a sentence
  headrace page undo PAGE_ID              take that back
  headrace run page.yaml -i topic=mills   a blueprint of your own
  headrace workflow save mills page.yaml  keep it
  headrace workflow run mills -i topic=…  run what is kept
  headrace usage                          what it has cost today
  headrace quota                          what the provider grants, who waits
  headrace capacity --rpm 100             how many users that quota serves

Another model, its key in the environment:

  headrace up --provider dashscope/qwen-max
"""
EPILOG = (
    "HEADRACE_HOME names the state dir (data, logs, state.json);"
    " HEADRACE_URL and HEADRACE_API_KEY name another edge and its key."
)


class _Group(typer.core.TyperGroup):
    """Shows our errors as they are meant to be read."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CliError as error:
            console = Console(stderr=True, highlight=False, soft_wrap=True)
            console.print(f"[bold red]✗[/] {escape(str(error))}")
            for line in error.hint.splitlines():
                console.print(f"  [dim]{escape(line)}[/]")
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    name="headrace",
    cls=_Group,
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"headrace {metadata.version('headrace-cli')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """The group's own options; the help is above."""


_SUITE, _USE = "The suite on this machine", "Use it"
app.command(rich_help_panel=_SUITE)(up.up)
app.command(rich_help_panel=_SUITE)(down.down)
app.command(rich_help_panel=_SUITE)(status.status)
app.command(rich_help_panel=_SUITE)(logs.logs)
app.command(rich_help_panel=_USE)(chat.chat)
app.command(rich_help_panel=_USE)(run.run)
app.command(rich_help_panel=_USE)(tools.tools)
app.command(rich_help_panel=_USE)(usage.usage)
app.command(rich_help_panel=_USE)(quota.quota)
app.command(rich_help_panel=_USE)(capacity.capacity)
app.command(rich_help_panel=_USE)(simulate_scaling.simulate_scaling)
app.add_typer(docs.app, rich_help_panel=_USE)
app.add_typer(workflow.app, rich_help_panel=_USE)
app.add_typer(page.app, rich_help_panel=_USE)
