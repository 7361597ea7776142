"""What the engine counts. One metric per decision."""

from prometheus_client import Counter, Histogram

NODES = Counter(
    "headrace_executor_nodes_total", "Nodes finished, by kind and result (done, skipped, failed).", ["kind", "result"]
)
NODE_SECONDS = Histogram(
    "headrace_executor_node_seconds",
    "Seconds from a node's start to its checkpoint, retries included.",
    ["kind"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
NODE_RETRIES = Counter("headrace_executor_node_retries_total", "Attempts at a node after its first, by kind.", ["kind"])
NOTICES = Counter("headrace_executor_quota_notices_total", "Events that told readers of a running run that it waits.")
RETRIES = Counter(
    "headrace_executor_call_retries_total", "Calls to other services tried again, by service and status.", ["part", "code"]
)
CEL_KILLED = Counter("headrace_executor_cel_workers_killed_total", "Expression workers killed, by cause.", ["cause"])
CEL_REFUSED = Counter("headrace_executor_cel_refused_total", "Expressions refused because too many waited for a worker.")
