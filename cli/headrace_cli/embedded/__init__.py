"""Real servers from wheels for local mode and tests: Postgres with pgvector, Valkey, a small language model.

Each module prepares a `Program`; whoever runs it (the supervisor, a test's fixture) starts, watches and stops it.
"""
