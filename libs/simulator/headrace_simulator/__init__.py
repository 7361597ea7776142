"""A model provider to test against: OpenAI-compatible, with quotas, latency and faults, and books of what it was asked."""
