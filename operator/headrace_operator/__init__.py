"""Scales executors by what the queue needs and the quota can feed."""
