"""The tools.yaml that `headrace up --tools` is given. The executors read it and say what is wrong inside; what they cannot
start without is looked at here, before anything is started.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from headrace_cli.errors import CliError

MAX_BYTES = 1024 * 1024


def checked(path: Path, environ: Mapping[str, str]) -> Path:
    """The file's absolute path. Raises `CliError` when it cannot be read, or names a secret that nobody has set."""
    try:
        with path.open("rb") as file:
            value = yaml.safe_load(file.read(MAX_BYTES))
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CliError(f"{path} is not a tools file: {error}") from error
    if not isinstance(value, dict):
        raise CliError(f"{path} is not a tools file: an object with `connectors` was expected")
    missing = sorted({name for name in secrets(value) if not environ.get(name)})
    if missing:
        raise CliError(
            f"{path} names {', '.join(missing)} as a secret, and that is not set", hint=f"export {missing[0]}=…, then again"
        )
    return path.absolute()


def secrets(value: Any) -> Iterator[str]:
    """The environment variables that a tools.yaml names: each `secret: NAME`, wherever it is."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            if isinstance(one.get("secret"), str):
                yield one["secret"]
            pending += one.values()
        elif isinstance(one, list):
            pending += one
