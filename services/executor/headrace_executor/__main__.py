"""`python -m headrace_executor`: the service until SIGTERM."""

from headrace_runtime import serve

from headrace_executor import app
from headrace_executor.settings import Settings

if __name__ == "__main__":
    serve.main("executor", Settings, app.service)
