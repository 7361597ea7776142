"""HTTP and MCP clients."""
