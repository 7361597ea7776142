"""The rag service's settings, HEADRACE_RAG_…; what concerns models is HEADRACE_LLM_…"""

from typing import Annotated

from headrace_runtime.settings import ServiceSettings
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Few = Annotated[int, Field(ge=1, le=64)]


class Settings(ServiceSettings):
    """Read once in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_RAG_", frozen=True, extra="forbid")

    database_url: SecretStr
    """postgresql://…; the database needs the extension pgvector ≥ 0.8, or a user who may create it."""
    connections: Few = 4
    """To Postgres, for the documents' table and for passages by vector."""
    index_connections: Few = 8
    """To Postgres, for LightRAG."""
    statement_timeout_s: Seconds = 30
    start_timeout_s: Seconds = 60
    """How long a database that still starts is waited for."""
    workspaces_open: Annotated[int, Field(ge=1, le=10_000)] = 32
    """LightRAG instances kept for the next call; more are open only while as many calls run."""
    writers: Few = 4
    """Documents that are read at once; each holds a connection to Postgres beside the others."""
    waiting_writers: Annotated[int, Field(ge=0, le=10_000)] = 64
    """Documents that may wait beside those."""
    ingest_longest_s: Seconds = 1800
    """How long a document may take when its caller has no deadline."""
    chunk_tokens: Annotated[int, Field(ge=50, le=2000)] = 400
    """Longest chunk. A model is asked once for each: larger ones save requests, smaller ones are cited more exactly."""
    chunk_overlap_tokens: Annotated[int, Field(ge=0, le=500)] = 40
    extract_parallel: Few = 4
    """Model calls for one document at once; the gate paces them besides."""
    extract_timeout_s: Seconds = 120
    """Longest that one of them may take, the gate's queue included."""
    extract_max_tokens: Annotated[int, Field(ge=100, le=8192)] = 700
    """Longest answer; one that is cut off is used as far as it goes."""
    search_timeout_s: Seconds = 20
    keywords_timeout_s: Seconds = 8
    """Longest that a model may take to name a query's keywords; then the query stands for them."""
    min_score: Annotated[float, Field(ge=-1, le=1)] = 0.1
    """Cosine similarity under which nothing is found."""
    exact_chunks: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    """Workspaces of at most so many chunks are searched without the index, exactly (5 ms); larger ones by HNSW."""
    embed_slots: Few = 16
    """Calls for vectors at once; one is computed, the others wait."""
    embed_longest_s: Seconds = 10
    """How long such a call may take when its caller has no deadline."""
