"""Settings of the library in any process that uses it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=3600)]


class LlmSettings(BaseSettings):
    """HEADRACE_LLM_…"""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_LLM_", frozen=True, extra="forbid")

    models_file: Path
    """models.yaml; `headrace_llm.registry` has its format."""
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """The gate's shared state."""
    redis_timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    """Longest that one question to Redis may take before this process paces itself."""
    redis_connections: Annotated[int, Field(ge=1, le=256)] = 8
    redis_retry_s: Seconds = 1.0
    """How long after a failure Redis is left alone."""
    fallback_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """The part of each limit that this process uses when Redis is away from the start; later, the number of processes that
    were seen last divides it."""
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Calls of this process that may wait at the gate; more are refused."""
    max_queue: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Calls of all processes that may wait for one limit; more are refused."""
    cool_down_s: Seconds = 2.0
    """How long to leave a provider alone after a 429 without Retry-After."""
    max_cool_down_s: Seconds = 300.0
    """Longest Retry-After that is believed."""
    first_token_s: Seconds = 60.0
    """Longest silence before a stream's first token; then a fallback is asked, or the model once more."""
    silence_s: Seconds = 30.0
    """Longest silence inside a stream; then it is begun anew in the same way."""
    unavailable_attempts: Annotated[int, Field(ge=0, le=5)] = 2
    """How often a call is tried anew on its model when the provider was unavailable."""
    throttled_attempts: Annotated[int, Field(ge=0, le=100)] = 10
    """How often a call goes back to the gate after a 429, while its deadline allows."""
    retry_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """For each call that succeeds, how many may be tried anew when their provider was unavailable; counted per model."""
    retry_floor: Annotated[int, Field(ge=0, le=1000)] = 10
    """How many may be tried anew beside those, and the most that are saved up."""
    breaker_failures: Annotated[int, Field(ge=1, le=1000)] = 8
    """Failures in a row after which a model is left alone."""
    breaker_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The part of failed calls from which a model is left alone."""
    breaker_calls: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Fewest calls in the window for which that part is looked at."""
    breaker_window_s: Seconds = 60.0
    breaker_open_s: Seconds = 5.0
    """How long a model is left alone at first; then one call tries it, and each that fails doubles the time."""
    breaker_max_open_s: Seconds = 120.0
    breaker_fair_s: Seconds = 10.0
    """A call that its deadline ends is the model's failure if it had so long, and three times the model's usual time."""
    default_max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Tokens of an answer that are reserved at the gate when the caller does not bound it."""
    cache: bool = True
    """Whether exact repetitions are answered from the cache (`ChatRequest.cache` says which) and asked only once."""
    cache_ttl_s: Annotated[float, Field(gt=0, le=30 * 86400)] = 3600.0
    """How long an answer is kept."""
    cache_entries: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    """Answers that this process keeps."""
    cache_bytes: Annotated[int, Field(ge=0, le=2**34)] = 16 * 2**20
    """Memory that they may take."""
    cache_redis_bytes: Annotated[int, Field(ge=0, le=2**40)] = 32 * 2**20
    """Memory that the answers of all tenants may take in Redis. Keep it well below Redis's maxmemory: what Redis evicts
    by itself are the gate's keys first, as they live shortest."""
    cache_value_bytes: Annotated[int, Field(ge=0, le=2**26)] = 256 * 2**10
    """Largest answer, compressed, that is kept in Redis."""
    cache_timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.2
    """Longest that one question to Redis may take before the cache does without it for `redis_retry_s`."""
    cache_join_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The part of its deadline that a request waits for the same request of another, before it asks by itself."""
    cache_lease_s: Annotated[float, Field(ge=0.3, le=600)] = 3.0
    """How soon others ask in the place of a process that died; a living one renews its lease."""
    cache_poll_s: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """How often who waits for another process looks, in case that the message was lost."""
    warm_up_file: Path | None = None
    """Requests to have answered at the start; `headrace_llm.cache.warm_up_file` has its format."""
    warm_up_entries: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Requests that it may have."""
    warm_up_s: Annotated[float, Field(gt=0, le=86400)] = 600.0
    """How long warming up may take; what is left then is left out."""
    warm_up_call_s: Seconds = 60.0
    """The deadline of each of its requests."""
