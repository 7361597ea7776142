"""AG-UI's own JavaScript client as tests use it: installed from its lock file, run as a process for each conversation."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.folders import open_folder

Json = Any
TESTS = Path(__file__).parents[1]
SOURCE = TESTS / "e2e" / "ag_ui_client"
EXAMPLE = TESTS.parent / "examples" / "ag-ui"
REQUIRED = "HEADRACE_REQUIRE_NODE"
"""1: that the client cannot be had is a failure, no reason to skip."""
NODE_MAJOR = 20
INSTALL_S = 120.0
CONVERSATION_S = 300.0


@dataclass(frozen=True, slots=True)
class Client:
    """The installed client."""

    folder: Path
    node: str

    def converse(self, url: str, *turns: Mapping[str, Json], **agent: Json) -> list[Json]:
        """What the client made of each turn; `agent` is what the HttpAgent begins with. See converse.mjs."""
        asked = {"url": f"{url}/ag-ui", "turns": turns, **agent}
        reports: list[Json] = json.loads(self.run("converse.mjs", json.dumps(asked)))
        return reports

    def run(self, script: str, said: str, **env: str) -> str:
        """What a script says that is told `said`."""
        done = subprocess.run(
            [self.node, script], cwd=self.folder, env={**os.environ, **env}, input=said, capture_output=True, text=True,
            timeout=CONVERSATION_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def installed() -> Iterator[Client]:
    """The client in a folder of its own. Skips the test where it cannot be had, unless it must be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        _absent("node and npm are not on the PATH")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < NODE_MAJOR:
        _absent(f"node is {version}, older than {NODE_MAJOR}")
    with open_folder() as folder:
        sources = (SOURCE / "package.json", SOURCE / "package-lock.json", *SOURCE.glob("*.mjs"), *EXAMPLE.glob("*.mjs"))
        for source in sources:
            shutil.copy(source, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            _absent(f"npm ci has not ended within {INSTALL_S:g} s")
        if done.returncode:
            _absent(f"npm ci failed: {done.stderr.strip()[-500:]}")
        yield Client(folder, node)


def _absent(why: str) -> NoReturn:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{why}, and {REQUIRED} is 1")
    pytest.skip(f"AG-UI's JavaScript client cannot be had: {why}")
