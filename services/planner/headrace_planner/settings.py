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
    max_draft_tokens: Annotated[int, Field(ge=100, le=8192)] = 2_000
    """Longest plan of a model, in tokens; one with little context gets 700 at most."""
    reuse: bool = True
    """Whether a plan that a model made is used again for the same request. Its Redis is HEADRACE_LLM_REDIS_URL."""
    reuse_ttl_s: Annotated[float, Field(gt=0, le=30 * 86_400)] = 86_400.0
    """How long such a plan is kept."""
    reuse_plan_bytes: Annotated[int, Field(ge=1, le=2**20)] = 64 * 1024
    """Largest plan that is kept."""
    reuse_entries: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Plans that this process keeps, and that Redis keeps for all."""
    reuse_bytes: Annotated[int, Field(ge=0, le=2**30)] = 4 * 2**20
    """Memory that this process's may take."""
    reuse_timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.2
    """Longest that one question to Redis may take before plans are made without it for a second."""
