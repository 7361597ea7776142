"""Durable runs: a queue, leases, the blueprint engine and the event log, on one Postgres."""
