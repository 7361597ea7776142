"""`python -m headrace_rag`: the service until SIGTERM."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # counts only before numpy is imported; one core is all there is

from headrace_runtime import serve

from headrace_rag import app
from headrace_rag.settings import Settings

if __name__ == "__main__":
    serve.main("rag", Settings, app.service)
