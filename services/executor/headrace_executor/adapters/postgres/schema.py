"""The executor's schema: the numbered SQL files of `headrace_executor/migrations`."""

from headrace_postgres.migrate import Schema

SCHEMA = Schema("headrace_executor", lock_key=0x4845_4144_5241_4345)
"""The lock's key is the letters of HEADRACE."""
