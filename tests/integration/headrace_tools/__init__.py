"""headrace_tools with real servers."""
