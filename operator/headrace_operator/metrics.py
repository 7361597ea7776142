"""What the operator counts. `namespace` and `name` are an ExecutorScaler's; their number is bounded by `max_scalers`."""

from prometheus_client import Counter, Gauge, Histogram

from headrace_operator.model import LimitedBy
from headrace_operator.ports import Key

_SCALER = ["namespace", "name"]

DESIRED = Gauge("headrace_operator_desired_replicas", "Executors that the last decision asked for.", _SCALER)
REPLICAS = Gauge("headrace_operator_replicas", "Executors that the Deployment asks for.", _SCALER)
READY = Gauge("headrace_operator_ready_replicas", "Executors that are ready.", _SCALER)
DEMAND = Gauge("headrace_operator_demand_replicas", "Executors that the queue needs; NaN when that is not known.", _SCALER)
QUOTA = Gauge("headrace_operator_quota_replicas", "Executors that the quota can feed; NaN when that is not known.", _SCALER)
LIMITED_BY = Gauge("headrace_operator_limited_by", "1 at what limited the last decision.", [*_SCALER, "limited_by"])
DECISIONS = Counter("headrace_operator_decisions_total", "Decisions, by what limited them.", [*_SCALER, "limited_by"])
CHANGES = Counter("headrace_operator_changes_total", "Changes of the scale.", [*_SCALER, "direction"])
SIGNAL_AGE = Gauge("headrace_operator_signal_age_seconds", "Age of the signals; NaN when there were none.", _SCALER)
TICKS = Counter("headrace_operator_ticks_total", "Rounds of the loop, by outcome: decided, failed.", [*_SCALER, "outcome"])
LAST_TICK = Gauge("headrace_operator_last_decision_time_seconds", "When a round last succeeded, Unix time.", _SCALER)
TICK_SECONDS = Histogram(
    "headrace_operator_tick_seconds",
    "Seconds that a round took.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
API_ERRORS = Counter(
    "headrace_operator_api_errors_total",
    "Requests that the API server refused, by its HTTP status; 0 means that it did not answer.",
    ["verb", "resource", "code"],
)
SCALERS = Gauge("headrace_operator_scalers", "ExecutorScalers looked after.")
LEFT_ALONE = Gauge("headrace_operator_scalers_left_alone", "ExecutorScalers beyond `max_scalers`.")
WATCH_LAG = Gauge("headrace_operator_watch_lag_seconds", "How long the watch owes a change that the list has shown.")


def forget(key: Key) -> None:
    """Drop the series of an ExecutorScaler that is gone."""
    for metric in (DESIRED, REPLICAS, READY, DEMAND, QUOTA, LIMITED_BY, DECISIONS, CHANGES, SIGNAL_AGE, TICKS, LAST_TICK):
        metric.remove_by_labels({"namespace": key.namespace, "name": key.name})


def limited_by(key: Key, value: LimitedBy) -> None:
    """Count a decision and mark what limited it."""
    DECISIONS.labels(*key, value).inc()
    for each in LimitedBy:
        LIMITED_BY.labels(*key, each).set(each == value)
