"""What agents may call: tools.yaml, its HTTP, OpenAPI and MCP connectors, and the guard of outbound calls."""
