"""Settings come from the environment, are read once in `__main__`, and a wrong one is a line that names it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import Field, SecretStr, StringConstraints, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

Address = Annotated[str, StringConstraints(pattern=r"^[^\s:]*:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")]
"""HOST:PORT; port 0 means any free one."""


class ServiceSettings(BaseSettings):
    """What every gRPC service has. A subclass sets `env_prefix`, such as HEADRACE_ROUTER_."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    listen: Address = "127.0.0.1:0"
    """Where the service answers gRPC."""
    metrics_listen: Address | None = None
    """Where Prometheus finds /metrics; unset means nowhere."""
    log_level: Annotated[str, StringConstraints(pattern="^(debug|info|warning|error)$")] = "info"
    drain_s: Annotated[float, Field(ge=0, le=600)] = 20
    """How long work in hand may go on after SIGTERM. Keep it under the pod's terminationGracePeriodSeconds."""
    otlp_endpoint: Annotated[str, StringConstraints(pattern=r"^(https?://\S+)?$")] = ""
    """OTLP/gRPC address of a trace collector, such as http://collector:4317; https means TLS. Empty means no tracing."""


EXIT_CODE = 2
"""What a process ends with when its settings are wrong: starting it again would not help."""
MAX_LINE = 500
"""Characters of what is said about one variable."""


class InvalidSettings(Exception):
    """A file that the settings name cannot be used. The message has one line for each fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong place in a file."""

    line: int
    """From 1; 0 when it concerns the file as a whole."""
    path: str
    """Keys with dots between."""
    message: str


class InvalidFile(InvalidSettings):
    """A file with every fault that it has, one a line."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        lines = [f"{source}:{f.line}: {f.path + ': ' if f.path else ''}{f.message}" for f in faults]
        super().__init__("\n".join(lines))
        self.faults = tuple(faults)


S = TypeVar("S", bound=BaseSettings)


def load(cls: type[S]) -> S:
    """Read `cls` from the environment, or end the process with one line for each wrong variable (exit code 2)."""
    try:
        return read(cls)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_CODE)


def read(cls: type[S]) -> S:
    """Read `cls` from the environment. Raises InvalidSettings, which has a line for each wrong variable and no secret."""
    try:
        return cls()
    except ValidationError as error:
        lines = [_line(cls, fault) for fault in error.errors(include_url=False)]
    raise InvalidSettings("\n".join(lines))  # not from the error: that one quotes every value, secrets too


def _line(cls: type[BaseSettings], fault: ErrorDetails) -> str:
    place = fault["loc"]
    name = cls.model_config.get("env_prefix", "") + ("__".join(map(str, place)).upper() or "*")
    got = fault["input"]
    # A fault of several variables, or of one that is absent, has all of them for its input.
    field = cls.model_fields.get(str(place[0])) if place else None
    shown = isinstance(got, str) and not (field and _secret(field.annotation))
    return f"{name}: {fault['msg']}{f' (got {got!r})' if shown else ''}"[:MAX_LINE]


def _secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_secret, get_args(annotation)))
