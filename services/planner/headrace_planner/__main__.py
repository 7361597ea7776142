"""`python -m headrace_planner`: the service until SIGTERM."""

from headrace_runtime import serve

from headrace_planner import app
from headrace_planner.settings import Settings

if __name__ == "__main__":
    serve.main("planner", Settings, app.service)
