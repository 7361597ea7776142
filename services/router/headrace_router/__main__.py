"""`python -m headrace_router`: the service until SIGTERM."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # counts only before numpy is imported; one core is all there is

from headrace_runtime import serve

from headrace_router import app
from headrace_router.settings import Settings

if __name__ == "__main__":
    serve.main("router", Settings, app.service)
