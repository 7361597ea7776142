"""What may be set of `headrace up --autoscale`: HEADRACE_AUTOSCALE_… The defaults are the operator's."""

from typing import Annotated

from headrace_operator.model import Direction, Spec
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from headrace_cli.errors import CliError

Seconds = Annotated[float, Field(ge=0, le=3600)]
Step = Annotated[int, Field(ge=1, le=100)]
_SPEC = Spec()


class AutoscaleSettings(BaseSettings):
    """docs/scaling.md says what each does."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_AUTOSCALE_", extra="ignore", frozen=True)

    interval_s: Annotated[float, Field(ge=0.5, le=300)] = 5.0
    """From one decision to the next."""
    headroom: Annotated[float, Field(ge=0, le=4)] = _SPEC.headroom
    calls_per_replica: Annotated[int, Field(ge=1, le=1024)] | None = None
    throttled_above: Annotated[float, Field(ge=0, le=1)] = _SPEC.throttled_above
    tolerance: Annotated[float, Field(ge=0, le=1)] = _SPEC.tolerance
    max_age_s: Annotated[float, Field(ge=1, le=3600)] = _SPEC.max_age_s
    up_window_s: Seconds = _SPEC.up.stabilization_s
    up_step: Step = _SPEC.up.max_step
    up_period_s: Seconds = _SPEC.up.period_s
    down_window_s: Seconds = _SPEC.down.stabilization_s
    down_step: Step = _SPEC.down.max_step
    down_period_s: Seconds = _SPEC.down.period_s
    backoff_s: Seconds = _SPEC.backoff_s

    def spec(self, least: int, most: int) -> Spec:
        """The policy's spec for so many executors."""
        return Spec(
            min_replicas=least,
            max_replicas=most,
            headroom=self.headroom,
            calls_per_replica=self.calls_per_replica,
            throttled_above=self.throttled_above,
            tolerance=self.tolerance,
            max_age_s=self.max_age_s,
            up=Direction(self.up_window_s, self.up_step, self.up_period_s),
            down=Direction(self.down_window_s, self.down_step, self.down_period_s),
            backoff_s=self.backoff_s,
        )


def checked() -> AutoscaleSettings:
    """Read the environment. Raises `CliError` that names each wrong variable."""
    try:
        return AutoscaleSettings()
    except ValidationError as error:
        faults = [f"HEADRACE_AUTOSCALE_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
        raise CliError(faults[0], hint="\n".join(faults[1:])) from error
