"""A server of the Model Context Protocol, and a workflow that uses its tools."""
