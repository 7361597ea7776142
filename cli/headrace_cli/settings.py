"""Where the command keeps its files and which edge it speaks to. Reads the environment once per command."""

import tomllib
from pathlib import Path

import platformdirs
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

WORKSPACE = "headrace-workspace"
"""The project name in the root pyproject.toml of a checkout."""


class CliSettings(BaseSettings):
    """The command's environment: HEADRACE_HOME, HEADRACE_URL, HEADRACE_API_KEY."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", frozen=True)

    home: Path | None = None
    """The state dir; unset means `.headrace` in a checkout of the project, else the user's state folder."""
    url: str = ""
    """Base URL of the edge; empty means the one that the state dir's `headrace up` serves."""
    api_key: SecretStr = SecretStr("")
    """Sent as a bearer token; empty sends none."""


def state_home(configured: Path | None, cwd: Path) -> Path:
    """The state dir, absolute; it is not made."""
    if configured is not None:
        return configured.expanduser().absolute()
    if _is_checkout(cwd):
        return cwd.absolute() / ".headrace"
    return platformdirs.user_state_path("headrace", appauthor=False)


def _is_checkout(folder: Path) -> bool:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return bool(project.get("project", {}).get("name") == WORKSPACE)
