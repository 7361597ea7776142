"""The operator's settings, HEADRACE_OPERATOR_…; what concerns one scale stands in its ExecutorScaler."""

from typing import Annotated

from headrace_runtime.settings import Address
from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


class Settings(BaseSettings):
    """Read once in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_OPERATOR_", extra="forbid", frozen=True)

    listen: Address = "127.0.0.1:0"
    """Where /healthz and /readyz answer."""
    metrics_listen: Address | None = None
    """Where Prometheus finds /metrics; unset means nowhere."""
    log_level: Annotated[str, StringConstraints(pattern="^(debug|info|warning|error)$")] = "info"
    namespaces: Annotated[str, StringConstraints(pattern=rf"^(\*|{_LABEL}(,{_LABEL})*)?$")] = ""
    """Whose ExecutorScalers are looked after, commas between; `*` means all, empty the operator's own namespace."""
    max_scalers: Annotated[int, Field(ge=1, le=1000)] = 50
    """ExecutorScalers looked after at once; those beyond, the youngest, are logged, counted and left alone."""
    max_executors: Annotated[int, Field(ge=1, le=1000)] = 64
    """Executors of one ExecutorScaler that are asked for signals."""
    request_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Longest wait for one answer of the API server."""
    tick_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0
    """Longest that one round of gathering, deciding and acting may take."""
    backoff_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Wait after a round that failed; doubled at each further one, up to `backoff_max_s`."""
    backoff_max_s: Annotated[float, Field(gt=0, le=300)] = 15.0
    relist_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    """How often the ExecutorScalers are listed, which finds what the watch has missed."""
    watch_lag_s: Annotated[float, Field(ge=5, le=3600)] = 90.0
    """How long the watch may owe a change that the list has shown before /healthz fails and the process is started anew."""
