"""`python -m headrace_cli` is the same command."""

from headrace_cli.main import app

app(prog_name="headrace")
