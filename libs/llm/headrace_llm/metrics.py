"""What Prometheus is told about model calls."""

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter("headrace_llm_calls_total", "Calls that ended, by model and outcome.", ["model", "outcome"])
RETRIES = Counter("headrace_llm_retries_total", "Attempts made anew, by model and reason.", ["model", "reason"])
FAILURES = Counter("headrace_llm_failures_total", "Attempts that failed, by model and class of error.", ["model", "class"])
FALLBACKS = Counter(
    "headrace_llm_fallbacks_total", "Calls that went to another model, by class of error.", ["from", "to", "reason"]
)
RETRY_BUDGET_REFUSED = Counter(
    "headrace_llm_retry_budget_refused_total", "Attempts not made anew, as too many calls were repeated.", ["model"]
)
BREAKER_OPEN = Gauge("headrace_llm_breaker_open", "1 from when a model's breaker opens until it is closed.", ["model"])
TOKENS = Counter("headrace_llm_tokens_total", "Tokens paid for, by model and kind (prompt, completion).", ["model", "kind"])
SECONDS = Histogram(
    "headrace_llm_call_seconds",
    "Seconds from a provider's call to its whole answer, waiting at the gate excluded.",
    ["model"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
FIRST_TOKEN_SECONDS = Histogram(
    "headrace_llm_first_token_seconds",
    "Seconds from a provider's call to the first token of its stream.",
    ["model"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
GATE_WAIT_SECONDS = Histogram(
    "headrace_llm_gate_wait_seconds",
    "Seconds that a granted call waited at the gate.",
    ["model"],
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
GATE_QUEUE = Gauge("headrace_llm_gate_queue", "Calls of this process that wait at the gate.", ["model"])
GATE_REFUSED = Counter("headrace_llm_gate_refused_total", "Calls that the gate refused, by reason.", ["model", "reason"])
GATE_STALE = Counter(
    "headrace_llm_gate_stale_total", "Turns given back because this process, held up, heard of them too late."
)
THROTTLED = Counter("headrace_llm_throttled_total", "Answers 429 of the provider.", ["model"])
GATE_FALLBACK = Gauge("headrace_llm_gate_fallback", "1 while Redis is away and this process paces itself by its share.")
COST = Counter("headrace_llm_cost_usd_total", "US dollars that calls cost, where the price is known, by model.", ["model"])
BUDGET_REFUSED = Counter(
    "headrace_llm_budget_refused_total", "Calls and runs refused because a tenant's budget is spent.", ["limit"]
)
BUDGET_FALLBACK = Gauge(
    "headrace_llm_budget_fallback", "1 while Redis is away and this process keeps to its share of what tenants had left."
)
WARM_UP_SECONDS = Gauge("headrace_llm_warm_up_seconds", "How long LiteLLM's import took; 0 before it has ended.")
CACHE = Counter(
    "headrace_llm_cache_total",
    "Requests by model and outcome: hit_process, hit_redis, joined (to another's call), miss, bypass.",
    ["model", "outcome"],
)
CACHE_ENTRIES = Gauge("headrace_llm_cache_entries", "Answers in this process's cache.")
CACHE_BYTES = Gauge("headrace_llm_cache_bytes", "Bytes of them.")
CACHE_AWAY = Gauge("headrace_llm_cache_away", "1 while Redis is away and nothing is shared with other processes.")
CACHE_NOT_SHARED = Counter(
    "headrace_llm_cache_not_shared_total",
    "Answers not kept in Redis, by reason: too_large, no_room, unreadable.",
    ["reason"],
)
CACHE_WARMED = Counter(
    "headrace_llm_cache_warmed_total", "Requests of the warm-up list, by outcome: asked, cached, failed.", ["outcome"]
)
