"""The executor's settings, HEADRACE_EXECUTOR_…; what concerns models is HEADRACE_LLM_…"""

from pathlib import Path
from typing import Annotated

from headrace_runtime.settings import ServiceSettings
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Days = Annotated[int, Field(ge=1, le=3650)]


class Settings(ServiceSettings):
    """Read once in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_EXECUTOR_", frozen=True, extra="forbid")

    database_url: SecretStr = SecretStr("postgresql://headrace@127.0.0.1:5432/headrace")
    """Where runs, events and sessions are."""
    redis_url: SecretStr | None = SecretStr("redis://127.0.0.1:6379/0")
    """Where hints go; empty means that executors find out by looking."""
    router_target: str = "127.0.0.1:50051"
    planner_target: str = "127.0.0.1:50052"
    rag_target: str = "127.0.0.1:50054"
    tools_file: Path | None = None
    """tools.yaml: the connectors that runs may call; docs/tools.md has its format. None means the built-in tools alone."""
    slots: Annotated[int, Field(ge=1, le=1024)] = 32
    """Runs that this process works on at once."""
    max_queued: Count = 10_000
    """Runs that may wait, of all tenants."""
    max_queued_per_tenant: Count = 2_000
    max_workflows_per_tenant: Count = 1_000
    max_pages_per_tenant: Count = 10_000
    """Pages stay until they are deleted; the versions of one hold at most 64 MiB together."""
    max_versions_per_page: Annotated[int, Field(ge=2, le=200)] = 200
    """Versions of a page that are kept; with each new one beyond them the oldest goes."""
    max_sessions_per_tenant: Count = 100_000
    """About: runs are accepted by a count that may be a minute old."""
    max_messages_per_session: Annotated[int, Field(ge=100, le=100_000)] = 2_000
    """With more, the oldest are removed by the upkeep, within some ten minutes."""
    max_memories_per_session: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """Each has at most 64 KiB; a search compares with all of them."""
    max_parallel_nodes: Annotated[int, Field(ge=1, le=256)] = 8
    """Nodes of one run that are worked on at once, items of maps and nodes of flows included."""
    max_parallel_nodes_per_replica: Annotated[int, Field(ge=1, le=4096)] = 64
    """The same of all runs of this process."""
    max_run_nodes: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """Nodes that a run may begin, items of maps and nodes of flows included."""
    retry_budget: Annotated[int, Field(ge=0, le=1_000)] = 20
    """Attempts after the first that one owner of a run makes at all its nodes together."""
    run_deadline_s: Annotated[float, Field(gt=0, le=86_400)] = 900
    """A run fails this long after its submission, waiting included."""
    lease_s: Annotated[float, Field(ge=0.5, le=60)] = 4.0
    """How long a dead executor's runs stay its own."""
    heartbeat_s: Annotated[float, Field(ge=0.05, le=20)] = 1.0
    poll_s: Annotated[float, Field(ge=0.05, le=10)] = 0.5
    """Longest time between two looks at the queue when no hint comes."""
    watch_poll_s: Annotated[float, Field(ge=0.05, le=10)] = 1.0
    """Longest time between two looks at other executors' events when no hint comes."""
    token_delay_s: Annotated[float, Field(ge=0, le=1)] = 0.025
    """Shortest time between two flushes that hold nothing but tokens."""
    max_chats: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Chat calls at once; more are refused."""
    max_watchers: Count = 5_000
    """WatchRun streams at once."""
    tail_bytes: Annotated[int, Field(ge=4096, le=16 * 1024 * 1024)] = 256 * 1024
    """Events of one run that are kept in memory for its watchers."""
    notice_s: Seconds = 2.0
    """A waiting run's watchers hear of its place no more often than this, those of a step that waits for the quota too."""
    log_retention_days: Days = 7
    """Events of runs older than this are dropped, a day at a time."""
    run_retention_days: Days = 30
    """Finished runs older than this are removed; what they cost stays, by day, kind and model."""
    session_retention_days: Days = 180
    """Sessions that no run was submitted to and no memory was written in for longer are removed, with what they hold."""
    usage_retention_days: Days = 400
    """Usage by day older than this is removed."""
    database_connections: Annotated[int, Field(ge=1, le=64)] = 4
    """Connections for requests; the runs themselves have up to four of their own."""
    statement_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    start_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    """How long a start waits for the database."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.lease_s < 2.5 * self.heartbeat_s:
            raise ValueError("lease_s must be at least 2.5 times heartbeat_s: two heartbeats may be lost")
        if self.run_retention_days < self.log_retention_days:
            raise ValueError("run_retention_days must not be less than log_retention_days")
        if self.session_retention_days < self.run_retention_days:
            raise ValueError("session_retention_days must not be less than run_retention_days")
        if self.usage_retention_days < self.run_retention_days:
            raise ValueError("usage_retention_days must not be less than run_retention_days")
        return self
