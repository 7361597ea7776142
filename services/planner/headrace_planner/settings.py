"""The planner's settings, HEADRACE_PLANNER_…; what concerns models is HEADRACE_LLM_…"""

from typing import Annotated

from headrace_runtime.settings import ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class Settings(ServiceSettings):
    """Read once in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_PLANNER_", frozen=True, extra="forbid")

    plan_timeout_s: Annotated[float, Field(gt=0, le=600)] = 45.0
    """Longest that the model may take for one plan, repairs and queue included; the caller's deadline may shorten it."""
    repairs: Annotated[int, Field(ge=0, le=5)] = 2
    """How often a model is shown the faults of its plan."""
    draft_slots: Annotated[int, Field(ge=1, le=1024)] = 32
    """Plans that may wait for a model at once; those beyond get the template."""
    max_draft_tokens: Annotated[int, Field(ge=100, le=8192)] = 700
    """Longest plan of a model, in tokens."""
