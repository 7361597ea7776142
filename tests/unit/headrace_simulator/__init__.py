"""headrace_simulator in virtual time."""
