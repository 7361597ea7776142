"""What the supervisor tells the other commands: one JSON file in the state dir, replaced whole at each change."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from headrace_cli.errors import AlreadyUp, CliError

VERSION = 1
START_TOLERANCE_S = 2.0
"""Two readings of one process's start time, relative to the boot, differ by less."""


class Phase(StrEnum):
    """Where the whole is in its life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class PartPhase(StrEnum):
    """Where one part is in its life."""

    WAITING = "waiting"
    """For the parts that it needs."""
    STARTING = "starting"
    READY = "ready"
    BACK_OFF = "back-off"
    """It ended, and is started again after a wait."""
    STOPPING = "stopping"
    STOPPED = "stopped"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Identity(_Model):
    """One process, told apart from a later one that has the same pid."""

    pid: int
    started_s: float
    """Seconds from the boot to its start: unlike a time of day it does not move when the clock is set."""


class PartRecord(_Model):
    """One part as the supervisor sees it."""

    name: str
    phase: PartPhase
    port: int
    log: str
    stop_signal: int
    stop_rank: int
    """Smaller stops first."""
    embedded: bool
    """A server from a wheel, not a service of ours."""
    process: Identity | None = None
    since: float = 0.0
    """When it came into this phase, seconds since the epoch."""
    restarts: int = 0
    next_start: float | None = None
    """In back-off: when it is started again, seconds since the epoch."""
    last_end: str = ""
    """How its last process ended, in words."""


class ScaleRecord(_Model):
    """The last decision about the number of executors."""

    replicas: int
    min_replicas: int
    max_replicas: int
    limited_by: str
    """Why it is so many (headrace_operator.model.LimitedBy)."""
    message: str
    """The numbers that it was decided by."""
    since: float = 0.0
    """When it became so many, seconds since the epoch."""


class State(_Model):
    """The whole file."""

    version: int = VERSION
    phase: Phase
    supervisor: Identity
    url: str
    models: tuple[str, ...] = ()
    """The registry ids that it was started with."""
    notes: tuple[str, ...] = ()
    """What its user should know, such as a port that was taken."""
    error: str = ""
    hint: str = ""
    parts: tuple[PartRecord, ...] = ()
    scale: ScaleRecord | None = None
    """None without `--autoscale`."""


class StateDir:
    """The files of one state dir."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "state.json"
        self.logs = home / "logs"
        self.data = home / "data"
        self.secrets = home / "secrets"

    def make(self) -> None:
        """Make the folders, for their owner only."""
        for folder in (self.home, self.logs, self.data, self.secrets):
            folder.mkdir(parents=True, exist_ok=True)
        self.secrets.chmod(0o700)

    def log(self, name: str) -> Path:
        """A part's log file."""
        return self.logs / f"{name}.log"

    def read(self) -> State | None:
        """The last state, None when there was none. Raises `CliError` when the file is not ours to read."""
        try:
            return State.model_validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise CliError(
                f"{self.file} cannot be read", hint=f"look at it, then remove it ({type(error).__name__})"
            ) from error

    def write(self, state: State) -> None:
        """Replace the file."""
        partial = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        partial.write_text(state.model_dump_json(indent=1) + "\n")
        partial.replace(self.file)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one supervisor of this state dir until the block ends or the process does. Raises `AlreadyUp`."""
        with (self.home / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise self._already_up() from error
            yield

    def _already_up(self) -> AlreadyUp:
        state = self.read()
        where = f" at {state.url} (pid {state.supervisor.pid})" if state is not None else ""
        return AlreadyUp(f"Headrace is already up{where}", hint="`headrace status` shows it, `headrace down` stops it")


def identify(pid: int) -> Identity | None:
    """The process that has this pid now, None when there is none."""
    try:
        return Identity(pid=pid, started_s=psutil.Process(pid).create_time() - psutil.boot_time())
    except psutil.NoSuchProcess:
        return None


def alive(identity: Identity | None) -> psutil.Process | None:
    """The very process that `identity` names, None when it has ended (a zombie has) or its pid is another's now."""
    if identity is None:
        return None
    now = identify(identity.pid)
    if now is None or abs(now.started_s - identity.started_s) > START_TOLERANCE_S:
        return None
    try:
        process = psutil.Process(identity.pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
