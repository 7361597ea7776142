"""What Prometheus is told about tools. A connector of one tenant is named TENANT/CONNECTOR."""

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter(
    "headrace_tools_calls_total",
    "Calls that ended, by connector and outcome: ok, cancelled, or why there is no result.",
    ["connector", "outcome"],
)
SECONDS = Histogram(
    "headrace_tools_call_seconds",
    "Seconds of a call, waiting for its turn and repetitions included.",
    ["connector"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60),
)
RETRIES = Counter("headrace_tools_retries_total", "Requests made anew.", ["connector"])
WAITING = Gauge("headrace_tools_waiting", "Calls that wait for one of their connector's turns.", ["connector"])
REFUSED_ADDRESSES = Counter(
    "headrace_tools_refused_addresses_total",
    "Connections not made, as the host is not public or the URL is none.",
    ["connector"],
)
CONNECTED = Gauge(
    "headrace_tools_connected", "1 while a connector that has to be reached for its tools has been.", ["connector"]
)
CONNECTS = Counter(
    "headrace_tools_connects_total", "Attempts to reach such a connector, by outcome: ok, failed.", ["connector", "outcome"]
)
SKIPPED = Gauge(
    "headrace_tools_skipped", "Operations or tools of a connector that cannot be used; the log says why.", ["connector"]
)
LONG_CHECKS = Counter(
    "headrace_tools_long_checks_total", "Calls whose arguments took so many steps to check that a thread did it."
)
OVERSIZED = Counter(
    "headrace_tools_oversized_messages_total",
    "Messages of an MCP server's standard streams that were larger than max_response_bytes and not kept.",
    ["connector"],
)
