"""The simulated provider as a process of its own."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

READY_S = 30.0


@dataclass(frozen=True, slots=True)
class SimulatorServer:
    """Its address, and its control and report paths."""

    url: str

    @property
    def base_url(self) -> str:
        """Of its OpenAI API."""
        return f"{self.url}/v1"

    def report(self, series_s: int = 0) -> dict[str, Any]:
        """The books."""
        return self._ask("GET", f"/report?series_s={series_s}")

    def change(self, **settings: Any) -> dict[str, Any]:
        """Other settings from now on; all that then hold."""
        return self._ask("PUT", "/control", settings)

    def reset(self) -> None:
        """Full quotas and empty books."""
        self._ask("POST", "/control/reset", {})

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._ask("GET", "/health") == {"status": "ok"}
        except (urllib.error.URLError, ConnectionError):
            return False

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def simulator_server(port: int, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[SimulatorServer]:
    """Run it on a port, ready."""
    server = SimulatorServer(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "headrace_simulator", "--port", str(port), *arguments]
    with subprocess.Popen(command, env={**os.environ, **(env or {})}) as process:
        try:
            deadline = time.monotonic() + READY_S
            while not server.ready():
                assert process.poll() is None, "the simulator ended"
                assert time.monotonic() < deadline, "the simulator is not ready"
                time.sleep(0.02)
            yield server
        finally:
            process.terminate()
            process.wait(10)
