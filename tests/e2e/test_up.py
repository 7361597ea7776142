"""`headrace up` as a newcomer types it: a real local model, one question, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading

import psutil
from headrace_cli.embedded.program import free_port

from tests.e2e import suite as suites
from tests.support.folders import open_folder

READY_S = 120
MEMORY_BYTES = 1536 * 2**20


def test_a_newcomer_sees_an_answer_and_ctrl_c_stops_everything() -> None:
    with open_folder() as home:
        port = free_port()
        up = subprocess.Popen(
            [sys.executable, "-m", "headrace_cli", "up", "--port", str(port)],
            env=suites.environment(home / "state"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        watchdog = threading.Timer(READY_S, up.kill)
        watchdog.start()
        try:
            assert up.stdout is not None
            seen = []
            for line in up.stdout:
                seen.append(line)
                if "Ctrl-C stops everything" in line:
                    break
            text = "".join(seen)
            assert f"http://127.0.0.1:{port}" in text, text
            assert "headrace chat" in text
            assert "curl" in text
            for stage in ("route", "plan", "answer"):
                assert stage in text, text
            status = json.loads(suites.headrace(home / "state", "status", "--json").stdout)
            assert status["pss_bytes_without_model"] < MEMORY_BYTES
            pids = [row["pid"] for row in status["processes"]]
            answer = suites.headrace(home / "state", "chat", "Say hello.")
            assert answer.returncode == 0, answer.stderr
            assert answer.stdout.strip()
            asked = suites.headrace(home / "state", "chat", "--mode", "chat", "--tool", "calculator", "What is 6*7?")
            assert asked.returncode == 0, asked.stderr
            assert asked.stdout.strip(), "a model that is too small to call answers in text"
            os.kill(up.pid, signal.SIGINT)
            up.stdout.read()
            assert up.wait(60) == 0
        finally:
            watchdog.cancel()
            if up.poll() is None:
                up.kill()
            if up.stdout is not None:
                up.stdout.close()
        assert not [pid for pid in pids if psutil.pid_exists(pid)]
