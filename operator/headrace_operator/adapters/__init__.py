"""Kubernetes over aiohttp and kopf, and the executors over gRPC."""
