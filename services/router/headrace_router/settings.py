"""The router's settings, HEADRACE_ROUTER_…; what concerns models is HEADRACE_LLM_…"""

from typing import Annotated

from headrace_runtime.settings import ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from headrace_router import policy


class Settings(ServiceSettings):
    """Read once in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_ROUTER_", frozen=True, extra="forbid")

    margin: Annotated[float, Field(ge=0, le=1)] = policy.CLEAR_MARGIN
    """The lead of the first intent over the second, 0 to 1, at which the neighbours decide without a model."""
    embed_timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    """Longest wait for a message's vector; then the shared words alone are compared."""
    embed_slots: Annotated[int, Field(ge=1, le=256)] = 16
    """Messages that may wait for their vectors at once; those beyond are compared by shared words alone."""
    model_timeout_s: Annotated[float, Field(gt=0, le=60)] = 4.0
    """Longest that asking the model may take, its queue included; the caller's deadline may shorten it."""
    model_slots: Annotated[int, Field(ge=1, le=1024)] = 32
    """Messages that may wait for the model at once; for those beyond, the best neighbour answers."""
