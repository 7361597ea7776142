"""Postgres: documents, the writer's lock, passages by vector, migrations."""
