"""headrace_tools without anything outside the process."""
