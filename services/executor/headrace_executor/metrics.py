"""What Prometheus sees of the durable half."""

from prometheus_client import Counter, Gauge, Histogram

SUBMITTED = Counter("headrace_executor_submitted_total", "Runs accepted.", ["kind", "priority"])
REFUSED = Counter("headrace_executor_refused_total", "Submissions refused, by reason.", ["reason"])
CLAIMED = Counter("headrace_executor_claimed_total", "Runs claimed.", ["how"])
ENDED = Counter("headrace_executor_ended_total", "How this executor's ownership of a run ended.", ["state"])
RUN_SECONDS = Histogram(
    "headrace_executor_run_seconds",
    "Seconds from a claim to the run's end.",
    ["kind"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900),
)
WAIT_SECONDS = Histogram(
    "headrace_executor_wait_seconds",
    "Seconds from submission to the first claim.",
    ["priority"],
    buckets=(0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900),
)
RUNNING = Gauge("headrace_executor_running", "Runs that this executor works on.")
SLOTS = Gauge("headrace_executor_slots", "Runs that this executor can work on at once.")
LEASE_LOST = Counter("headrace_executor_leases_lost_total", "Times that this executor stopped because its lease lapsed.")
FENCED = Counter("headrace_executor_fenced_total", "Writes refused because another executor owns the run.")
FLUSHES = Counter("headrace_executor_flushes_total", "Flushes, by result.", ["result"])
FLUSH_SECONDS = Histogram(
    "headrace_executor_flush_seconds",
    "Seconds of one flush.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
FLUSH_RUNS = Histogram("headrace_executor_flush_runs", "Runs in one flush.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
EVENTS = Counter("headrace_executor_events_total", "Events stored.")
WATCHERS = Gauge("headrace_executor_watchers", "Open WatchRun streams.")
CATCH_UPS = Counter("headrace_executor_catch_ups_total", "Pages that watchers read from Postgres instead of memory.")
TAIL_READS = Counter("headrace_executor_tail_reads_total", "Queries for the events of runs that other executors own.")
HINTS = Counter("headrace_executor_hints_total", "Hints sent, received and failed.", ["direction"])
UPKEEP = Counter("headrace_executor_upkeep_total", "Rows or partitions that upkeep touched, by job.", ["job"])
UPKEEP_FAILED = Counter(
    "headrace_executor_upkeep_failed_total", "Upkeep jobs that failed and will be tried again.", ["job"]
)
PAGE_VERSIONS = Counter(
    "headrace_executor_page_versions_total",
    "Versions of pages that runs saved: stored, again (there already), moved (another is current), refused, fenced.",
    ["result"],
)
SESSIONS = Gauge("headrace_executor_sessions", "Sessions in the store, of all tenants; every executor tells the same.")
SESSIONS_OF_LARGEST_TENANT = Gauge(
    "headrace_executor_sessions_of_largest_tenant",
    "Sessions of the tenant that has most; max_sessions_per_tenant are allowed.",
)
PAGES = Gauge("headrace_executor_pages", "Pages in the store, of all tenants; every executor tells the same.")
PAGES_OF_LARGEST_TENANT = Gauge(
    "headrace_executor_pages_of_largest_tenant", "Pages of the tenant that has most; max_pages_per_tenant are allowed."
)
PAGE_BYTES = Gauge("headrace_executor_page_bytes", "Bytes of all that the versions of all pages hold.")
MEMORIES_WRITTEN = Counter(
    "headrace_executor_memories_written_total", "Memories written, with or without their vector.", ["vector"]
)
MEMORIES_EMBEDDED_LATE = Counter(
    "headrace_executor_memories_embedded_late_total", "Memories that were given their vector by a search."
)
MEMORY_SEARCHES = Counter(
    "headrace_executor_memory_searches_total", "Searches of memories, by result: found, nothing, failed.", ["result"]
)
MEMORY_SEARCH_SECONDS = Histogram(
    "headrace_executor_memory_search_seconds",
    "Seconds of a search of memories.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CHATS = Gauge("headrace_executor_chats", "Open Chat calls.")
CHATS_REFUSED = Counter("headrace_executor_chats_refused_total", "Chat calls refused because every place was taken.")
CHATS_ENDED = Counter("headrace_executor_chats_ended_total", "Chat calls by how they ended.", ["outcome"])
CHAT_USAGE_DROPPED = Counter(
    "headrace_executor_chat_usage_dropped_total",
    "Chat calls whose cost was not stored, as the database stayed away or refused it.",
)
