"""`python -m headrace_cli`."""
