"""An executor whose gate has a part taken away: `python -m tests.load.executor VARIANT`, with an executor's settings."""

import sys
from unittest import mock

from headrace_executor import app as executor_app
from headrace_executor.settings import Settings
from headrace_llm import app as llm_app
from headrace_runtime import serve

from tests.load.clients import GATES

if __name__ == "__main__":
    with mock.patch.object(llm_app, "PacedGate", GATES[sys.argv[1]]):
        serve.main("executor", Settings, executor_app.service)
