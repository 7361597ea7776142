"""The simulated provider, on loopback: a quota to test against, no key, no cost."""

import sys
import urllib.error
import urllib.request
from functools import partial

from headrace_cli.embedded.program import Program

NAME = "simulated"
"""The model's name on its server."""
DEFAULT_RPM = 600.0
MAX_RPM = 10_000_000.0
"""What the simulator takes."""


def prepare(port: int, rpm: float) -> Program:
    """Return how to run it; HEADRACE_SIMULATOR_… in the environment sets the rest of what it is like."""
    return Program(
        name="simulator",
        argv=(sys.executable, "-m", "headrace_simulator", "--host", "127.0.0.1", "--port", str(port)),
        ready=partial(_healthy, port),
        env={"HEADRACE_SIMULATOR_RPM": f"{rpm:g}"},
    )


def url(port: int) -> str:
    """The base of its OpenAI API."""
    return f"http://127.0.0.1:{port}/v1"


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=0.5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
