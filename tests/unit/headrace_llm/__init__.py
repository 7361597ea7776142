"""headrace_llm without anything outside the process."""
