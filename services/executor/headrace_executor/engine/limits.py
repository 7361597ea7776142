"""What one run may use, each limit with its name and default. Plain data; the settings fill it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field


def _timeouts() -> Mapping[str, float]:
    return {"data": 30.0, "retrieve": 60.0, "compute": 10.0, "branch": 10.0, "compose": 120.0}


def _attempts() -> Mapping[str, int]:
    return {"compose": 2}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run. Seconds end in `_s`, sizes in JSON bytes in `_bytes`."""

    max_parallel_nodes: int = 8
    """Nodes of one run that are worked on at once, items of maps and nodes of flows included."""
    max_parallel_nodes_per_replica: int = 64
    """The same of all runs of a process."""
    max_run_nodes: int = 1000
    """Nodes that a run may begin, items of maps and nodes of flows included."""
    retry_budget: int = 20
    """Attempts after the first that one owner of a run makes at all its nodes together."""
    history_turns: int = 8
    """Earlier messages that the router, the planner and prompts see."""
    history_characters: int = 16_000
    """Characters of `inputs.history`; the oldest turns go first."""
    history_deadline_s: float = 10.0
    store_deadline_s: float = 10.0
    """How long reading a workflow, or reading and saving a page, may take, retries included."""
    route_deadline_s: float = 60.0
    """How long the router may be away, retries included: a killed service is back within seconds."""
    plan_deadline_s: float = 180.0
    """As above for the planner, which may ask a model three times."""
    search_deadline_s: float = 60.0
    ingest_deadline_s: float = 900.0
    """Reading a document asks a model once per chunk, and waits while another writer has the workspace."""
    node_timeout_s: Mapping[str, float] = field(default_factory=_timeouts)
    """Seconds of one attempt at a node that names none, by kind; map and flow have what is left to the run."""
    max_node_timeout_s: float = 600.0
    default_attempts: Mapping[str, int] = field(default_factory=_attempts)
    """Attempts at a node that has no retry policy, by kind, else 1. A model's stream that broke off is begun anew once."""
    default_backoff_s: float = 1.0
    max_node_attempts: int = 5
    max_node_backoff_s: float = 30.0
    max_prompt_bytes: int = 1024 * 1024
    agent_iterations: int = 5
    """Calls of a model that may call tools, in a node that names no number; the language's own limit is 10."""
    max_parallel_tool_calls: int = 4
    """Calls of one such node that are under way at once."""
    max_calls_per_round: int = 16
    """Calls that a model may wish at once; those beyond are answered with an error."""
    max_repeated_calls: int = 2
    """How often such a node makes the same call with the same arguments."""
    max_tool_result_bytes: int = 16 * 1024
    """As much of a tool's result as the model is shown."""
    resolve_deadline_s: float = 10.0
    """How long the records may take that names in a request are looked up in; then the run goes on without them."""
    recall_deadline_s: float = 10.0
    """How long the session's memories may take; then the run goes on without them."""
    recall_min_score: float = 0.1
    """Least cosine similarity of a memory and the request; unrelated texts have about 0.05."""
    recall_characters: int = 8_000
    """Most characters of `inputs.memories`; the least similar memories are left out."""
    max_output_bytes: int = 1024 * 1024
    """Largest output of one node."""
    max_run_bytes: int = 4 * 1024 * 1024
    """Largest sum of a run's outputs, a map's list beside its items: they are held in memory."""
    max_event_bytes: int = 64 * 1024
    """Largest value inside one event; a larger one is replaced by its size, its beginning and the step that has it."""
    max_result_bytes: int = 1024 * 1024
    """Largest output of a run; its largest values are replaced in the same way until it fits."""
    max_citations_bytes: int = 256 * 1024
    """Passages that a run's output cites; the rest is in the outputs of the searches' steps."""
    notice_s: float = 2.0
    """A step waits so long for the quota before its readers hear of it, and they hear of waits no more often."""
    max_inline_cel_bytes: int = 16 * 1024
    """Values that an expression may see in the service's own process; over larger ones it runs in a worker."""
