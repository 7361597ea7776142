"""LightRAG as `ports.Index`. Nothing outside this folder imports it, and nothing in here before `library.load`."""
