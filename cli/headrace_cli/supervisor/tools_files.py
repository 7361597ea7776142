"""The tools.yaml that `headrace up --tools` is given: read as the executors read it, before anything is started."""

from collections.abc import Mapping
from pathlib import Path

from headrace_cli.errors import CliError


def checked(path: Path, environ: Mapping[str, str]) -> Path:
    """The file's absolute path. Raises `CliError` when it cannot be read, or with every fault that it has.

    A variable that it names as a secret and that is not set is a fault like any other.
    """
    # Reading it takes a quarter of a second of imports, which the other commands need not pay for.
    from headrace_tools import tools_file
    from headrace_tools.errors import InvalidToolsFile

    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CliError(f"{path} is not UTF-8: {error}") from error
    try:
        tools_file.parse(text, environment=environ, source=str(path))
    except InvalidToolsFile as error:
        raise CliError(str(error), hint="docs/tools.md has the file's format") from error
    return path.absolute()
