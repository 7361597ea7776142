"""The only modules that import asyncpg, yoyo, tokenizers and LightRAG; their errors end here."""
