"""The rag service's schema: the numbered SQL files of `headrace_rag/migrations`. LightRAG makes its own tables itself."""

from headrace_postgres.migrate import Schema

SCHEMA = Schema("headrace_rag", lock_key=0x4845_4144_5F52_4147)
"""The lock's key is the letters of HEAD_RAG."""
