"""What the router counts. Labels are fixed words, never texts or tenants."""

from prometheus_client import Counter, Gauge, Histogram

DECISIONS = Counter("headrace_router_decisions_total", "Messages decided, by means and intent.", ["decided_by", "intent"])
SECONDS = Histogram(
    "headrace_router_decision_seconds",
    "Seconds from a question to its decision.",
    ["decided_by"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
WORDS_ONLY = Counter(
    "headrace_router_words_only_total",
    "Messages compared without their vector: the vectors were loading, all slots were taken, or it came late.",
    ["reason"],
)
REMEMBERED = Counter("headrace_router_votes_remembered_total", "Messages whose vote was known from the last time.")
UNANSWERED = Counter(
    "headrace_router_model_unanswered_total",
    "Messages that the model should have decided and did not; the best neighbour did.",
    ["reason"],
)
READY = Gauge("headrace_router_examples_ready", "1 once the examples' vectors are there.")
WAITING = Gauge("headrace_router_waiting", "Messages that wait for a vector or for the model.", ["for"])
