"""What the engine counts. One metric per decision."""

from prometheus_client import Counter, Gauge, Histogram

NODES = Counter(
    "headrace_executor_nodes_total", "Nodes finished, by kind and result (done, skipped, gap, failed).", ["kind", "result"]
)
NODE_SECONDS = Histogram(
    "headrace_executor_node_seconds",
    "Seconds from a node's start to its checkpoint, retries included.",
    ["kind"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
NODE_RETRIES = Counter("headrace_executor_node_retries_total", "Attempts at a node after its first, by kind.", ["kind"])
RETRIES_REFUSED = Counter(
    "headrace_executor_retries_refused_total", "Attempts at a node that were not made as the run's retry budget was spent."
)
PARALLEL_NODES = Gauge("headrace_executor_parallel_nodes", "Nodes of all runs that this process works on now.")
GAPS = Counter("headrace_executor_gaps_total", "Optional nodes that failed for good, by kind.", ["kind"])
PAGE_MERGES = Counter(
    "headrace_executor_page_merges_total",
    "Changes of pages that were changed meanwhile, by result (merged, conflict).",
    ["result"],
)
NOTICES = Counter("headrace_executor_quota_notices_total", "Events that told readers of a running run that it waits.")
RETRIES = Counter(
    "headrace_executor_call_retries_total", "Calls to other services tried again, by service and status.", ["part", "code"]
)
CEL_WORKERS = Gauge("headrace_executor_cel_workers", "Expression workers that are ready.")
CEL_KILLED = Counter("headrace_executor_cel_workers_killed_total", "Expression workers killed, by cause.", ["cause"])
CEL_REFUSED = Counter(
    "headrace_executor_cel_refused_total", "Expressions refused because too many waited for a worker, or too long."
)
TOOL_CALLS = Counter(
    "headrace_executor_tool_calls_total",
    "Calls of tools, by kind (builtin, http, openapi, mcp) and outcome (ok, cancelled, or why there is no result).",
    ["kind", "outcome"],
)
TOOL_SECONDS = Histogram(
    "headrace_executor_tool_seconds",
    "Seconds of a tool's call.",
    ["kind"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60),
)
AGENT_ROUNDS = Counter(
    "headrace_executor_agent_rounds_total",
    "Rounds of compose nodes with tools, by what the model did: called tools, answered, or repaired its JSON.",
    ["outcome"],
)
AGENT_REFUSED = Counter(
    "headrace_executor_agent_refused_calls_total",
    "Calls of models that were answered with an error instead of being made, by reason.",
    ["reason"],
)
ENTITY_FETCHES = Counter(
    "headrace_executor_entity_fetches_total", "Reads of a connector's records, by outcome (ok, or why not).", ["outcome"]
)
ENTITY_CACHE = Counter(
    "headrace_executor_entity_cache_total", "Looks for a connector's records, by result (hit, miss, away).", ["result"]
)
ENTITIES = Counter(
    "headrace_executor_entities_total", "Names found in requests, by how (exact, fuzzy, ambiguous).", ["how"]
)
RECALLS = Counter(
    "headrace_executor_recalls_total",
    "Looks at a session's memories for a run, by result: found, nothing, failed.",
    ["result"],
)
