"""The edge's Prometheus metrics, by name. It decides nothing."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("headrace_edge_requests_total", "Requests answered.", ["route", "method", "status"])
SECONDS = Histogram(
    "headrace_edge_request_seconds",
    "Seconds from a request's headers to its answer's headers.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
IN_FLIGHT = Gauge("headrace_edge_requests_in_flight", "Requests in work, open streams aside.")
REFUSED = Counter("headrace_edge_refused_total", "Requests refused by a limit of the edge.", ["limit"])
STREAMS = Gauge("headrace_edge_streams_open", "Open SSE streams.")
STREAM_ENDS = Counter("headrace_edge_stream_ends_total", "SSE streams ended, by what ended them.", ["cause"])
STREAM_BYTES = Counter("headrace_edge_stream_bytes_total", "Bytes of events and heartbeats sent.")
STREAM_EVENTS = Counter("headrace_edge_stream_events_total", "Events sent.")
SLOW_READERS = Counter("headrace_edge_slow_readers_total", "Connections closed because a send took too long.")
DOWNLOADS_BROKEN = Counter("headrace_edge_downloads_broken_total", "Outputs that broke off half sent.", ["cause"])
REWATCHES = Counter(
    "headrace_edge_rewatches_total", "Event streams picked up again after an executor went away.", ["cause"]
)
CALL_RETRIES = Counter("headrace_edge_call_retries_total", "Unary calls repeated because a service was away.", ["service"])
CONNECTIONS_REFUSED = Counter(
    "headrace_edge_connections_refused_total", "Connections closed at once or for bad headers.", ["cause"]
)
ADMISSIONS = Counter(
    "headrace_edge_admission_total", "Requests for runs and direct calls, by what was decided.", ["decision"]
)
PROMISES = Gauge("headrace_edge_promises_open", "Refused requests that were told a time which has not passed.")
SIGNALS_AGE = Gauge("headrace_edge_signals_age_seconds", "Age of the signals that the last decision was made by.")
SIGNALS_FAILED = Counter("headrace_edge_signals_failed_total", "Questions for signals that nobody answered in time.")
