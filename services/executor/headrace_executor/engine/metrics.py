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
NOTICES = Counter("headrace_executor_quota_notices_total", "Events that told readers of a running run that it waits.")
RETRIES = Counter(
    "headrace_executor_call_retries_total", "Calls to other services tried again, by service and status.", ["part", "code"]
)
CEL_KILLED = Counter("headrace_executor_cel_workers_killed_total", "Expression workers killed, by cause.", ["cause"])
CEL_REFUSED = Counter("headrace_executor_cel_refused_total", "Expressions refused because too many waited for a worker.")
