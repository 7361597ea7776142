"""What the rag service counts. Labels are fixed words, never texts, tenants or workspaces."""

from prometheus_client import Counter, Gauge, Histogram

INGESTS = Counter(
    "headrace_rag_ingests_total",
    "Documents handed in, by result: read, known, or the status code of the failure.",
    ["result"],
)
INGEST_SECONDS = Histogram(
    "headrace_rag_ingest_seconds",
    "Seconds to read one document, waiting for the workspace not included.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800),
)
LOCK_SECONDS = Histogram(
    "headrace_rag_writer_wait_seconds",
    "Seconds that a writer waited for its workspace.",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 300),
)
WRITERS = Gauge("headrace_rag_writers", "Documents being written or waiting for it.")
SEARCHES = Counter(
    "headrace_rag_searches_total", "Searches, by mode and result: found, nothing, failed.", ["mode", "result"]
)
SEARCH_SECONDS = Histogram(
    "headrace_rag_search_seconds",
    "Seconds of a search, by mode.",
    ["mode"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
KEYWORDS_UNANSWERED = Counter(
    "headrace_rag_keywords_unanswered_total",
    "Searches whose query stood for its own keywords, by why the model did not.",
    ["reason"],
)
UNREAD_CHUNKS = Counter(
    "headrace_rag_unread_chunks_total",
    "Chunks of which the model made nothing usable, by reason; vectors still find them.",
    ["reason"],
)
OPEN_WORKSPACES = Gauge("headrace_rag_open_workspaces", "LightRAG instances kept open.")
INDEX_ERRORS = Counter("headrace_rag_lightrag_errors_total", "Errors that LightRAG logged, by its module.", ["module"])
EMBEDS = Counter("headrace_rag_embeds_total", "Calls for vectors, by result: ok, refused, late, failed.", ["result"])
EMBED_SECONDS = Histogram(
    "headrace_rag_embed_seconds",
    "Seconds of a call for vectors, waiting for others' included.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EMBEDDING = Gauge("headrace_rag_embedding", "Calls for vectors being computed or waiting for it.")
