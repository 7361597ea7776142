"""The shell blocks of docs/operations.md, as a reader runs them."""

import os
import re
import subprocess
from pathlib import Path

from tests.e2e.kube.cluster import READY_S, TOOLS, Cluster

DOCS = Path("docs/operations.md")


def blocks(section: str, language: str = "bash") -> list[str]:
    """The blocks of a section in one language."""
    text = DOCS.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def shell(cluster: Cluster, block: str, folder: Path) -> None:
    """Run a block in a folder."""
    env = {**os.environ, "NS": cluster.namespace, "PATH": f"{os.environ['PATH']}{os.pathsep}{TOOLS}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
