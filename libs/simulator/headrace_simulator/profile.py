"""What the simulated provider is like. Each setting has a default, and all can be changed while it runs."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from headrace_simulator.meters import Enforcement

Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=3600)]
PerMinute = Annotated[float, Field(gt=0, le=10_000_000)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Concurrency = Annotated[int, Field(ge=1, le=100_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rule(_Strict):
    """Another quota for some keys and models. What is not given is as at the top; null is no limit."""

    key: Pattern = "*"
    """Which API keys, as in shell: * ? [abc]."""
    model: Pattern = "*"
    group: Name | None = None
    """All that matches rules with this group shares one quota; without, each key and model has its own."""
    enforcement: Enforcement | None = None
    rpm: PerMinute | None = None
    tpm: PerMinute | None = None
    concurrency: Concurrency | None = None


class Latency(_Strict):
    """How long an answer takes."""

    first_token_s: Seconds = 0.3
    """The median; the rest is lognormal."""
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.4
    """Of the logarithm; 0 is always the median."""
    tokens_per_s: Annotated[float, Field(gt=0, le=1_000_000)] = 80.0
    """After the first."""
    chunk_tokens: Annotated[int, Field(ge=1, le=1000)] = 4
    """Tokens in one event of a stream."""


class Answer(_Strict):
    """How long an answer is, in tokens; a caller's max_tokens cuts it."""

    tokens: Annotated[int, Field(ge=1, le=100_000)] = 60
    """The median; the rest is lognormal."""
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.5
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] = 2000


class Faults(_Strict):
    """Which part of the accepted calls goes wrong. Together at most 1."""

    error: Probability = 0.0
    """Answered with `error_status` after the time of a first token."""
    error_status: Annotated[int, Field(ge=500, le=599)] = 500
    hang: Probability = 0.0
    """Not answered at all: the connection closes after `hang_s`."""
    hang_s: Seconds = 600.0
    cut: Probability = 0.0
    """The connection closes in the middle of the answer."""
    slow: Probability = 0.0
    """Everything takes `slow_factor` times as long."""
    slow_factor: Annotated[float, Field(ge=1, le=1000)] = 10.0

    @model_validator(mode="after")
    def _at_most_all(self) -> "Faults":
        if self.error + self.hang + self.cut + self.slow > 1:
            raise ValueError("error, hang, cut and slow are together more than 1")
        return self


class Drop(_Strict):
    """A time with other limits. Nothing announces it."""

    at_s: Annotated[float, Field(ge=0, le=1_000_000)]
    """After the first call since the start or the last reset."""
    for_s: Annotated[float, Field(gt=0, le=1_000_000)]
    factor: Annotated[float, Field(ge=0, le=100)]
    """Of all rates. Where drops overlap, the smallest holds."""


class Profile(_Strict):
    """Everything about the provider."""

    seed: int = 0
    """The same seed and the same calls give the same answers, latencies and faults."""
    keys: tuple[Pattern, ...] = ()
    """The API keys that are let in, 401 for others; empty lets everyone in."""
    models: tuple[Pattern, ...] = ()
    """The models that are there, 404 for others; empty answers for every name."""
    enforcement: Enforcement = "per_second"
    rpm: PerMinute | None = 600.0
    """Requests a minute for each key and model; null is no limit."""
    tpm: PerMinute | None = None
    """Tokens a minute, prompt and answer."""
    concurrency: Concurrency | None = None
    """Calls at once."""
    quotas: Annotated[tuple[Rule, ...], Field(max_length=100)] = ()
    """The first rule that matches a call's key and model counts, else the values at the top."""
    factor: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Of all rates: 0.4 is a provider that grants 40 % of what it says."""
    drops: Annotated[tuple[Drop, ...], Field(max_length=1000)] = ()
    refused_count: bool = False
    """Whether a refused call uses up a request as well."""
    dialect: Literal["openai", "dashscope"] = "openai"
    """Whose words refusals have."""
    retry_after: Literal["none", "whole", "fractional"] = "fractional"
    """How a refusal says when to come back: not, in whole seconds (rounded up), or exactly. It is always true."""
    ratelimit_headers: bool = False
    """Whether answers and refusals carry x-ratelimit-*."""
    latency: Latency = Latency()
    answer: Answer = Answer()
    faults: Faults = Faults()

    def changed(self, change: object) -> "Profile":
        """With the settings that `change` names: of a group such as latency only those given, a list as a whole.

        Raises pydantic.ValidationError.
        """
        if not isinstance(change, Mapping):
            return Profile.model_validate(change)
        now: dict[str, Any] = self.model_dump(exclude_unset=True)
        for name, value in change.items():
            group = now.get(name)
            now[name] = {**group, **value} if isinstance(group, dict) and isinstance(value, Mapping) else value
        return Profile.model_validate(now)
