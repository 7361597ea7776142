"""The queue and the models' gates, as the edge tells them."""

from datetime import datetime

from pydantic import Field

from headrace_edge.model import Answer


class ModelState(Answer):
    """A model's gate now."""

    granted_rpm: float
    effective_rpm: float
    queue_depth: int
    oldest_wait_s: float
    throttled_ratio: float
    seconds_per_call: float
    throttled: bool
    configured_rpm: float = Field(0.0, description="0 when no limit is configured.")
    queued: dict[str, int] = Field(default_factory=dict, description="Waiting calls by priority.")
    expected_wait_s: dict[str, float] = Field(
        default_factory=dict, description="How long a call that came now would wait, by priority."
    )
    cooling_s: float = Field(0.0, description="What is left of the pause after a 429.")
    shared: bool = Field(True, description="False while each process keeps to its own share.")
    breaker_open: bool = False
    cached_ratio: float = 0.0


class ModelEntry(Answer):
    """One model of the registry."""

    id: str
    provider: str
    context: int
    price: dict[str, float | None]
    limits: dict[str, int | None]
    fallbacks: list[str]
    state: ModelState


class Models(Answer):
    """The models that can be asked."""

    models: list[ModelEntry]
    default: str


class KindCost(Answer):
    """What a run of a kind takes on average."""

    calls_per_run: float
    seconds_per_run: float


class Promises(Answer):
    """Refused runs that were told when to come back, at this edge."""

    open: int = 0
    next_s: float | None = Field(None, description="Seconds until the next may come; null for none.")


class Quota(Answer):
    """The queue and the gates now."""

    time: datetime
    queued: dict[str, int]
    running: int
    oldest_wait_s: float
    slots_per_replica: int
    replicas: int
    seconds_per_run: float
    models: dict[str, ModelState]
    default_model: str = ""
    kinds: dict[str, KindCost] = Field(default_factory=dict, description="As far as runs of a kind have finished.")
    promises: Promises = Field(default_factory=Promises)
