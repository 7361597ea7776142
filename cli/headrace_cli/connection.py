"""Which edge the commands speak to: HEADRACE_URL, else the one that this state dir's `headrace up` serves."""

from pathlib import Path

from headrace_cli.client import EdgeClient
from headrace_cli.errors import CliError
from headrace_cli.settings import CliSettings, state_home
from headrace_cli.supervisor import state
from headrace_cli.supervisor.state import StateDir


def state_dir(settings: CliSettings | None = None) -> StateDir:
    """The state dir of the environment and the current directory."""
    settings = settings or CliSettings()
    return StateDir(state_home(settings.home, Path.cwd()))


def connect() -> EdgeClient:
    """A client of the edge. Raises `CliError` when nothing is up here and no URL is given."""
    settings = CliSettings()
    return EdgeClient(settings.url or _served_here(state_dir(settings)), api_key=settings.api_key.get_secret_value())


def _served_here(directory: StateDir) -> str:
    last = directory.read()
    if last is None or state.alive(last.supervisor) is None:
        raise CliError("nothing is up here", hint="start it with `headrace up`, or set HEADRACE_URL to a running edge")
    return last.url
