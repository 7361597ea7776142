"""The durable half on Postgres. The only place of this service that knows SQL and asyncpg."""
